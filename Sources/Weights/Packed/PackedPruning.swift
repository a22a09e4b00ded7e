import Sentences

/// What a removal of packed weights did.
public struct PackedPruning: Sendable, Equatable {
    public var removedFiles = 0
    public var removedBytes = 0
    public var keptFiles = 0
    public var keptBytes = 0

    fileprivate mutating func remove(_ entry: PackedFolder.Entry) {
        removedFiles += 1
        removedBytes = removedBytes.addingClamped(entry.byteCount)
    }
}

extension PackedWeights {
    /// Removes files of packed weights: what interrupted workers left behind, files that this program would not use (damaged in
    /// their tables, of another version, or in the hands of other users), and the longest unused ones beyond the limit. Files
    /// that a worker is writing stay. Running workers keep what they have mapped.
    ///
    /// - Parameter all: also removes all others.
    /// - Throws: `.unreadable` or `.unwritable` for a folder without rights.
    public static func prune(_ setting: Setting, all: Bool) throws(WeightsError) -> PackedPruning {
        let folder = PackedFolder(path: setting.folder)
        var pruning = PackedPruning()
        for entry in try folder.removeLeftBehind() { pruning.remove(entry) }
        for entry in try folder.entries() where all || !isUsable("\(folder.path)/\(entry.name)") {
            try StoreFiles.remove("\(folder.path)/\(entry.name)")
            pruning.remove(entry)
        }
        for entry in try folder.makeRoom(0, limit: setting.limit) { pruning.remove(entry) }
        let kept = try folder.entries()
        pruning.keptFiles = kept.count
        pruning.keptBytes = kept.reduce(0) { $0.addingClamped($1.byteCount) }
        return pruning
    }

    private static func isUsable(_ path: String) -> Bool {
        guard let content = try? PackedReader.content(path).0, let head = try? PackedReader.head(content.bytes, path) else {
            return false
        }
        return PackedKey.isOfThisVersion(head.key)
    }
}
