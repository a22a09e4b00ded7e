public import ContentHash
import Glibc
import Sentences
import Synchronization

/// The LoRA files of a host: folders in which they are found by name or by content, and files that were named one by one.
///
/// A job names LoRA files by their SHA-256, so that it does not matter where a host keeps them and what it calls them. Files
/// are hashed when a content is first looked for, and again only when they are no longer the files they were: see `FileStamp`.
public final class LoRALibrary: Sendable {
    /// Knows no file.
    public static let empty = LoRALibrary()

    /// What is remembered of a file while it is the one that it was.
    private struct Known {
        let stamp: FileStamp
        var digest: SHA256Digest?
        var head: Head?
    }

    /// What the head of a file calls it.
    enum Head: Equatable {
        /// `ss_output_name`, which trainers write; nil without one.
        case named(String?)
        /// It is no safetensors file, or cannot be opened.
        case unreadable
    }

    let folders: [String]
    private let files: [String]
    let limits: LoRAListing.Limits
    private let known = Mutex<[String: Known]>([:])

    static let ending = ".safetensors"

    private init() { (folders, files, limits) = ([], [], LoRAListing.Limits()) }

    /// - Parameters:
    ///   - folders: where files are looked for, the first folder first.
    ///   - files: paths of single files, which are found by content only.
    /// - Throws: `.notFound` and `.unsupportedFormat` for folders that are none.
    public convenience init(folders: [String], files: [String] = []) throws(WeightsError) {
        try self.init(folders: folders, files: files, limits: LoRAListing.Limits())
    }

    init(folders: [String], files: [String] = [], limits: LoRAListing.Limits) throws(WeightsError) {
        for folder in folders {
            var status = stat()
            guard !folder.isEmpty, !folder.utf8.contains(0), stat(folder, &status) == 0 else {
                if let broken = FileBytes.brokenLink(folder) { throw broken }
                throw WeightsError(
                    .notFound, naming: "\(folder) does not exist; \(.loraModelDir) names a folder of LoRA files.")
            }
            guard status.st_mode & S_IFMT == S_IFDIR else {
                throw WeightsError(
                    .unsupportedFormat, naming: "\(folder) is not a folder; \(.loraModelDir) names a folder of LoRA files.")
            }
        }
        (self.folders, self.files, self.limits) = (folders, files, limits)
    }

    /// A file's name as people say it: the last part of its path, without the ending.
    public static func stem(ofPath path: String) -> String { LoRAListing.stem(ofPath: path) }

    /// The file with this content, wherever it is.
    ///
    /// Throws `.notFound` with the hash and the remedy, and what is wrong with the file. Files that cannot be read are passed
    /// over: they may not be the one.
    public func file(digest: SHA256Digest) throws(WeightsError) -> LoRAFile {
        let listing = LoRAListing(folders, limits: limits)
        for path in files + listing.entries.filter(\.isFile).map(\.path) where self.digest(of: path) == digest {
            let file = try LoRAFile(path: path)
            // What was hashed a moment ago may be another file by now.
            if file.digest == digest { return file }
        }
        let places = folders.isEmpty ? "" : " in \(folders.joined(separator: ", "))"
        throw WeightsError(
            .notFound,
            naming:
                "There is no LoRA file with the SHA-256 \(digest.hex)\(places)\(Self.gaps(listing)); put it into a folder that "
                + "\(.loraModelDir) names.")
    }

    /// SHA-256 of a file; nil where it cannot be read.
    func digest(of path: String) -> SHA256Digest? {
        if let known = remembered(path), let digest = known.digest { return digest }
        guard let content = try? FileBytes(mapping: path) else { return nil }
        let digest = content.digest()
        remember(path, content) { $0.digest = digest }
        return digest
    }

    /// What the file calls itself. Only its head is read.
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

    /// The stamp is that of the file which was opened, whatever has its path by now.
    private func remember(_ path: String, _ content: FileBytes, _ change: (inout Known) -> Void) {
        guard let stamp = content.stamp else { return }
        known.withLock { all in
            var entry = all[path].flatMap { $0.stamp == stamp ? $0 : nil } ?? Known(stamp: stamp)
            change(&entry)
            all[path] = entry
        }
    }

    /// What a search did not see, as the middle of a sentence about the folders; empty when it saw everything.
    static func gaps(_ listing: LoRAListing) -> String {
        var gaps = ""
        if let limit = listing.limitReached { gaps += ", which were searched in part because \(limit)" }
        if !listing.passedOver.isEmpty {
            let some = listing.passedOver.prefix(3).joined(separator: ", ")
            let more = listing.passedOver.count > 3 ? " and \(listing.passedOver.count - 3) more" : ""
            gaps += " (passed over, because unreadable: \(some)\(more))"
        }
        return gaps
    }
}
