public import ContentHash
import Sentences

/// A file of a stored model with other bytes than its manifest says.
public struct StoredDamage: Sendable, Equatable {
    /// The file in the store.
    public var file: String
    /// Its path in the model: `unet/config.json`.
    public var path: String
    public var expected: SHA256Digest
    /// The digest of the file's bytes; nil for a file that is missing or cannot be read.
    public var found: SHA256Digest?
}

extension ModelStore {
    /// All damaged files of a model, in the order of its manifest; equal files once. Hashes those whose hash it does not know.
    ///
    /// Throws the error of a manifest that cannot be read.
    public func damages(of model: StoredModel) throws(WeightsError) -> [StoredDamage] {
        try StoreFiles.locked(folder, exclusive: false) { () throws(WeightsError) in
            let entries = try readManifest(model.identity).files
            var contents: [SHA256Digest: FileBytes] = [:]
            for entry in entries where contents[entry.digest] == nil { contents[entry.digest] = try? blob(entry.digest) }
            FileBytes.prepareDigests(of: contents.values)
            var told: Set<SHA256Digest> = []
            return entries.compactMap { entry in
                let found = contents[entry.digest]?.digest()
                guard found != entry.digest, told.insert(entry.digest).inserted else { return nil }
                return StoredDamage(
                    file: "\(blobs)/\(entry.digest.hex)", path: entry.shownPath, expected: entry.digest, found: found)
            }
        }
    }

    /// The error for a name with a damaged file.
    public func damaged(name: String) -> WeightsError {
        .malformed("\(names)/\(name) is damaged and names no model any more; remove the name and import the model again.")
    }
}

extension StoreManifest.Entry {
    /// The path, with the part in front if the file does not belong to the model itself.
    fileprivate var shownPath: String { part == .model ? path : "\(part.rawValue): \(path)" }
}
