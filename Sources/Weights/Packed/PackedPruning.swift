import Glibc
import Sentences

/// The result of a removal of packed weights.
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
    /// Removes files of packed weights: files that interrupted workers left behind, files that this program would not use
    /// (damaged in their tables, of another version, or in the hands of other users), and the longest unused ones beyond the
    /// limit. Files that a worker is writing stay. Running workers keep the files that they have mapped.
    ///
    /// - Parameter all: also removes all others.
    /// - Throws: `.unreadable` or `.unwritable` for a folder without rights, or of another user.
    public static func prune(_ setting: Setting, all: Bool) throws(WeightsError) -> PackedPruning {
        // A missing folder is no error here, even if another user owns the folders above: nothing is made in them.
        if status(of: setting.folder) == nil, errno == ENOENT { return PackedPruning() }
        try checkOwnFolder(setting.folder)
        let folder = PackedFolder(path: setting.folder)
        var pruning = PackedPruning()
        for entry in try folder.removeLeftBehind() { pruning.remove(entry) }
        // Listed once: the look into a file may count as a use of it.
        var usable: [PackedFolder.Entry] = []
        for entry in try folder.entries() {
            let path = "\(folder.path)/\(entry.name)"
            if !all, isUsable(path) {
                usable.append(entry)
                continue
            }
            try StoreFiles.remove(path)
            pruning.remove(entry)
        }
        for entry in try folder.trim(usable, to: setting.limit) { pruning.remove(entry) }
        let kept = try folder.entries()
        pruning.keptFiles = kept.count
        pruning.keptBytes = kept.reduce(0) { $0.addingClamped($1.byteCount) }
        return pruning
    }

    private static func isUsable(_ path: String) -> Bool {
        guard let content = try? PackedReader.content(path, isUse: false).0,
            let head = try? PackedReader.head(content.bytes, path)
        else {
            return false
        }
        return PackedKey.isOfThisVersion(head.key)
    }
}
