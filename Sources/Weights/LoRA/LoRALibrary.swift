public import ContentHash
import Sentences
import Synchronization

/// The LoRA files of a host: folders, searched by name or by content, and single files.
///
/// A job names LoRA files by their SHA-256, so hosts may keep them anywhere under any name. A file is hashed at the first
/// search by content, and again only after it changed: see `FileStamp`.
public final class LoRALibrary: Sendable {
    /// A library without files.
    public static let empty = LoRALibrary()

    /// Facts about a file, valid while its stamp is the same.
    private struct Known {
        let stamp: FileStamp
        var digest: SHA256Digest?
        var head: Head?
    }

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
    private let known = Mutex<[String: Known]>([:])

    static let ending = ".safetensors"

    private init() { (folders, files, limits) = ([], [], LoRAListing.Limits()) }

    /// Searches the folders in this order. Single files are found by content only. Throws `.notFound` and `.unsupportedFormat`
    /// for paths of `folders` that are not folders.
    public convenience init(folders: [String], files: [String] = []) throws(WeightsError) {
        try self.init(folders: folders, files: files, limits: LoRAListing.Limits())
    }

    init(folders: [String], files: [String] = [], limits: LoRAListing.Limits) throws(WeightsError) {
        for folder in folders {
            guard let status = status(of: folder) else {
                if let broken = FileBytes.brokenLink(folder) { throw broken }
                throw .notFound("\(folder) does not exist; name a folder of LoRA files by \(.loraModelDir).")
            }
            guard status.isFolder else {
                throw .unsupportedFormat("\(folder) is not a folder; name a folder of LoRA files by \(.loraModelDir).")
            }
        }
        (self.folders, self.files, self.limits) = (folders, files, limits)
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
            let file = try LoRAFile(path: path)
            // The file may have been replaced since it was hashed.
            if file.digest == digest { return file }
        }
        let places = folders.isEmpty ? "" : " in \(folders.joined(separator: ", "))"
        throw .notFound(
            "There is no LoRA file with the SHA-256 \(digest.hex)\(places)\(Self.gaps(listing)); put it into a folder "
                + "and name the folder by \(.loraModelDir).")
    }

    /// SHA-256 of a file; nil if it cannot be read.
    func digest(of path: String) -> SHA256Digest? {
        if let known = remembered(path), let digest = known.digest { return digest }
        guard let content = try? FileBytes(mapping: path) else { return nil }
        let digest = content.digest()
        remember(path, content) { $0.digest = digest }
        return digest
    }

    /// The name in the file's head. Only the head is read.
    func head(of path: String) -> Head {
        if let known = remembered(path), let head = known.head { return head }
        guard let content = try? FileBytes(mapping: path) else { return .unreadable }
        let header = try? SafetensorsHeader(file: content.bytes, name: path, limits: SafetensorsLimits())
        let head: Head = header.map { .named($0.metadata["ss_output_name"]) } ?? .unreadable
        remember(path, content) { $0.head = head }
        return head
    }

    private func remembered(_ path: String) -> Known? {
        guard let known = known.withLock({ $0[path] }), known.stamp == FileStamp(path: path) else { return nil }
        return known
    }

    /// Uses the stamp of the opened file; its path may lead to another file by now.
    private func remember(_ path: String, _ content: FileBytes, _ change: (inout Known) -> Void) {
        guard let stamp = content.stamp else { return }
        known.withLock { all in
            var entry = all[path].flatMap { $0.stamp == stamp ? $0 : nil } ?? Known(stamp: stamp)
            change(&entry)
            all[path] = entry
        }
    }

    /// What a search missed, for the middle of a sentence about the folders; empty if it saw everything.
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
