public import ContentHash
import Glibc
import Synchronization

/// The LoRA files of a host: folders in which they are found by name or by content, and files that were named one by one.
///
/// A job names LoRA files by their SHA-256, so that it does not matter where a host keeps them and what it calls them. Files
/// are hashed when a content is first looked for, and again only when they are no longer the files they were: see `FileStamp`.
public final class LoRALibrary: Sendable {
    /// Knows no file.
    public static let empty = LoRALibrary()

    private struct Known {
        let stamp: FileStamp
        let digest: SHA256Digest
    }

    private let folders: [String]
    private let files: [String]
    private let known = Mutex<[String: Known]>([:])

    static let ending = ".safetensors"
    /// How many files are looked at, and how deep below a folder.
    private static let (maxFiles, maxDepth) = (20_000, 8)

    private init() { (folders, files) = ([], []) }

    /// - Parameters:
    ///   - folders: where files are looked for, the first folder first.
    ///   - files: paths of single files, which are found by content only.
    /// - Throws: `.notFound` and `.unsupportedFormat` for folders that are none.
    public init(folders: [String], files: [String] = []) throws(WeightsError) {
        for folder in folders {
            var status = stat()
            guard !folder.isEmpty, !folder.utf8.contains(0), stat(folder, &status) == 0 else {
                throw WeightsError(.notFound, "\(folder) does not exist; --lora-model-dir names a folder of LoRA files.")
            }
            guard status.st_mode & S_IFMT == S_IFDIR else {
                throw WeightsError(
                    .unsupportedFormat, "\(folder) is not a folder; --lora-model-dir names a folder of LoRA files.")
            }
        }
        (self.folders, self.files) = (folders, files)
    }

    /// The file `NAME.safetensors` or `NAME` in the first folder that has it. A name may lead into a folder below
    /// (`style/ink`), never out of it.
    ///
    /// Throws `.notFound` with the remedy, `.badPath`, and what is wrong with the file.
    public func file(named name: String) throws(WeightsError) -> LoRAFile {
        let parts = name.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        let isInside = parts.allSatisfy { !$0.isEmpty && !$0.elementsEqual(".".utf8) && !$0.elementsEqual("..".utf8) }
        guard isInside, !name.utf8.contains(0), name.utf8.count <= 1024 else {
            throw WeightsError(
                .badPath, "\(quoted(name)) is no name of a LoRA; give the name of a file in the folder of --lora-model-dir.")
        }
        guard !folders.isEmpty else {
            throw WeightsError(
                .notFound,
                "The LoRA \(quoted(name)) is looked for in no folder; name the one that holds it by --lora-model-dir.")
        }
        for folder in folders {
            let path = folder.hasSuffix("/") ? folder + name : folder + "/" + name
            if !name.hasSuffix(Self.ending), fileExists(path + Self.ending) { return try LoRAFile(path: path + Self.ending) }
            if fileExists(path) { return try LoRAFile(path: path) }
        }
        throw WeightsError(
            .notFound,
            "There is no LoRA \(quoted(name)) in \(folders.joined(separator: ", ")); put \(name)\(name.hasSuffix(Self.ending) ? "" : Self.ending) "
                + "there, or name another folder by --lora-model-dir.")
    }

    /// The file with this content, wherever it is.
    ///
    /// Throws `.notFound` with the hash and the remedy, and what is wrong with the file. Files that cannot be read are passed
    /// over: they may not be the one.
    public func file(digest: SHA256Digest) throws(WeightsError) -> LoRAFile {
        for path in files + folders.flatMap({ Self.files(below: $0) }) where holds(path, digest) {
            let file = try LoRAFile(path: path)
            // What was hashed a moment ago may be another file by now.
            if file.digest == digest { return file }
        }
        let places = folders.isEmpty ? "" : " in \(folders.joined(separator: ", "))"
        throw WeightsError(
            .notFound,
            "There is no LoRA file with the SHA-256 \(digest.hex)\(places); put it into a folder that --lora-model-dir names.")
    }

    private func holds(_ path: String, _ digest: SHA256Digest) -> Bool {
        if let known = known.withLock({ $0[path] }), known.stamp == FileStamp(path: path) { return known.digest == digest }
        // The stamp is that of the file which was opened, whatever has its path by now.
        guard let content = try? FileBytes(mapping: path), let stamp = content.stamp else { return false }
        let found = content.digest()
        known.withLock { $0[path] = Known(stamp: stamp, digest: found) }
        return found == digest
    }

    /// Paths of the safetensors files below a folder, sorted. Links to files are followed, links to folders are not.
    private static func files(below folder: String, depth: Int = 0) -> [String] {
        guard depth < maxDepth, let stream = opendir(folder) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream), names.count < maxFiles {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: $0.pointee)) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        var paths: [String] = []
        for name in names.sorted() {
            let path = folder.hasSuffix("/") ? folder + name : folder + "/" + name
            var status = stat()
            guard lstat(path, &status) == 0 else { continue }
            if status.st_mode & S_IFMT == S_IFDIR {
                paths += files(below: path, depth: depth + 1)
            } else if name.hasSuffix(ending) {
                paths.append(path)
            }
            guard paths.count < maxFiles else { break }
        }
        return paths
    }
}
