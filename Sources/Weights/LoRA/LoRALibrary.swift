public import ContentHash
import Sentences
import Synchronization

/// The LoRA files of a host: folders, searched by name or by content, and single files.
///
/// A job names LoRA files by their SHA-256, so hosts may keep them anywhere under any name. A search by content hashes the
/// files whose hash the memory does not know: see `DigestMemory`.
public final class LoRALibrary: Sendable {
    /// A library without files.
    public static let empty = LoRALibrary()

    /// The name in the head of a file.
    enum Head: Equatable {
        /// `ss_output_name`, which trainers write; nil without one.
        case named(String?)
        /// Not a safetensors file, or it cannot be opened.
        case unreadable
    }

    let folders: [String]
    private let files: [String]
    let limits: LoRAListing.Limits
    let digests: DigestMemory
    /// The names in the heads of files by path, valid while the stamp is the same.
    private let heads = Mutex<[String: (stamp: FileStamp, head: Head)]>([:])

    static let ending = ".safetensors"

    private init() { (folders, files, limits, digests) = ([], [], LoRAListing.Limits(), DigestMemory()) }

    /// Searches the folders in this order. Single files are found by content only. Without `digests`, hashes are known as long
    /// as the library. Throws `.notFound` and `.unsupportedFormat` for paths of `folders` that are not folders.
    public convenience init(
        folders: [String], files: [String] = [], digests: DigestMemory = DigestMemory()
    ) throws(WeightsError) {
        try self.init(folders: folders, files: files, digests: digests, limits: LoRAListing.Limits())
    }

    init(
        folders: [String], files: [String] = [], digests: DigestMemory = DigestMemory(), limits: LoRAListing.Limits
    ) throws(WeightsError) {
        for folder in folders {
            guard let status = status(of: folder) else {
                if let broken = FileBytes.brokenLink(folder) { throw broken }
                throw .notFound("\(folder) does not exist; name a folder of LoRA files by \(.loraModelDir).")
            }
            guard status.isFolder else {
                throw .unsupportedFormat("\(folder) is not a folder; name a folder of LoRA files by \(.loraModelDir).")
            }
        }
        (self.folders, self.files, self.digests, self.limits) = (folders, files, digests, limits)
    }

    /// The last part of a path, without the ending.
    public static func stem(ofPath path: String) -> String {
        LoRAListing.withoutEnding(LoRAListing.lastPart(path))
    }

    /// The file with this content, wherever it is.
    ///
    /// Throws `.notFound` with the hash and the remedy, and the errors of the file. Unreadable files are skipped.
    public func file(digest: SHA256Digest) throws(WeightsError) -> LoRAFile {
        let listing = LoRAListing(folders, limits: limits)
        for path in files + listing.entries.filter(\.isFile).map(\.path) where self.digest(of: path) == digest {
            let file = try LoRAFile(path: path, digests: digests)
            // The file may have been replaced since it was hashed.
            if file.digest == digest { return file }
        }
        let places = folders.isEmpty ? "" : " in \(folders.joined(separator: ", "))"
        throw .notFound(
            "There is no LoRA file with the SHA-256 \(digest.hex)\(places)\(Self.gaps(listing)); put it into a folder "
                + "and name the folder by \(.loraModelDir).")
    }

    /// The SHA-256 of all files by path; nil for one that cannot be read. Throws `.unreadable` if the search missed some.
    public func allDigests() throws(WeightsError) -> [(path: String, digest: SHA256Digest?)] {
        let listing = LoRAListing(folders, limits: limits)
        let gaps = Self.gaps(listing)
        guard gaps.isEmpty else {
            throw .unreadable("Not all LoRA files of \(folders.joined(separator: ", ")) were found\(gaps).")
        }
        return (files + listing.entries.map(\.path)).map { ($0, digest(of: $0)) }
    }

    /// SHA-256 of a file; nil if it cannot be read.
    func digest(of path: String) -> SHA256Digest? {
        if let stamp = FileStamp(path: path), let known = digests.known(stamp) { return known }
        return (try? FileBytes(mapping: path, digests: digests))?.digest()
    }

    /// The name in the file's head. Only the head is read.
    func head(of path: String) -> Head {
        if let known = heads.withLock({ $0[path] }), known.stamp == FileStamp(path: path) { return known.head }
        guard let content = try? FileBytes(mapping: path) else { return .unreadable }
        let header = try? SafetensorsHeader(file: content.bytes, name: path, limits: SafetensorsLimits())
        let head: Head = header.map { .named($0.metadata["ss_output_name"]) } ?? .unreadable
        // The stamp of the opened file, because its path may lead to another file by now.
        if let stamp = content.stamp { heads.withLock { $0[path] = (stamp, head) } }
        return head
    }

    /// The part that a search could not see, for the middle of a sentence about the folders; empty if it saw everything.
    static func gaps(_ listing: LoRAListing) -> String {
        var gaps = ""
        if let limit = listing.limitReached { gaps += ", where the search ended early because \(limit)" }
        if !listing.passedOver.isEmpty {
            let some = listing.passedOver.prefix(3).joined(separator: ", ")
            let more = listing.passedOver.count > 3 ? " and \(listing.passedOver.count - 3) more" : ""
            gaps += " (unreadable: \(some)\(more))"
        }
        return gaps
    }
}
