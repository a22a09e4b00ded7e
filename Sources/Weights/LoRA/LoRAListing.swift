import Glibc

/// The LoRA files below some folders.
///
/// Follows links to files and folders, because collections often lie on another disk. Lists each folder once, even if several
/// paths lead to it. Leaves out names that begin with a dot.
struct LoRAListing {
    struct Entry {
        let path: String
        /// The path below the searched folder.
        let relative: String
        /// The stamp of the file; nil for a broken link.
        let stamp: FileStamp?
        /// Whether it is a regular file.
        let isFile: Bool

        /// Nil for a folder.
        init?(path: String, relative: String) {
            let status = status(of: path)
            if status?.isFolder == true { return nil }
            (self.path, self.relative) = (path, relative)
            stamp = status.map(FileStamp.init)
            isFile = status?.isFile == true
        }

        var stem: String { LoRALibrary.stem(ofPath: relative) }
    }

    /// Limits of the search: LoRA files, names of any kind, and depth of folders.
    struct Limits {
        var files = 20_000
        var names = 200_000
        var depth = 8
    }

    /// Entries with the ending of a LoRA file, sorted by name, folder by folder.
    private(set) var entries: [Entry] = []
    /// Entries with the ending of a pickle or another foreign format, for messages.
    private(set) var foreign: [Entry] = []
    /// Paths of unreadable folders and files.
    var passedOver: [String] = []
    /// The limit that ended the search early.
    private(set) var limitReached: String?

    private let limits: Limits
    private var looked = 0
    private var isFull = false
    /// The listed folders.
    private var visited: Set<FileStamp.Place> = []

    init(_ folders: [String], limits: Limits = Limits()) {
        self.limits = limits
        for folder in folders {
            guard let stamp = FileStamp(path: folder) else {
                passedOver.append(folder)
                continue
            }
            if isNew(stamp) { list(folder, below: "", depth: 0) }
        }
    }

    private mutating func isNew(_ stamp: FileStamp) -> Bool { visited.insert(stamp.place).inserted }

    private mutating func list(_ folder: String, below parents: String, depth: Int) {
        guard let names = Self.names(in: folder, atMost: limits.names - looked + 1) else {
            passedOver.append(folder)
            return
        }
        for name in names.sorted() where !isFull {
            guard looked < limits.names else { return end("they hold more than \(Self.counted(limits.names, "name"))") }
            looked += 1
            let path = Self.joined(folder, name)
            let relative = parents.isEmpty ? name : parents + "/" + name
            if let entry = Entry(path: path, relative: relative) {
                take(entry, name)
            } else if depth == limits.depth {
                limitReached = limitReached ?? "\(path) lies more than \(Self.counted(limits.depth, "folder")) deep"
            } else if let stamp = FileStamp(path: path), isNew(stamp) {
                list(path, below: relative, depth: depth + 1)
            }
        }
    }

    private mutating func take(_ entry: Entry, _ name: String) {
        let hasEnding = Self.hasEnding(name)
        // A broken link may have led to a whole folder.
        if entry.stamp == nil || hasEnding && !entry.isFile { passedOver.append(entry.path) }
        if ForeignFormat.ending(of: name) != nil { foreign.append(entry) }
        guard hasEnding else { return }
        guard entries.count < limits.files else {
            return end("they hold more than \(Self.counted(limits.files, "LoRA file"))")
        }
        entries.append(entry)
    }

    private mutating func end(_ reason: String) {
        limitReached = limitReached ?? reason
        isFull = true
    }

    private static func counted(_ count: Int, _ what: String) -> String { "\(count) \(what)\(count == 1 ? "" : "s")" }

    private static func names(in folder: String, atMost limit: Int) -> [String]? {
        Weights.names(in: folder, atMost: limit) { !$0.hasPrefix(".") }
    }

    // MARK: Paths

    /// The files at the path `name` below a folder, of any depth. Several files fit if their names differ in the form of
    /// accents or the case of the ending.
    static func entries(at name: String, below folder: String, limits: Limits) -> [Entry] {
        let parts = name.split(separator: "/").map(String.init)
        var places: [(path: String, relative: String)] = [(folder, "")]
        for (index, part) in parts.enumerated() {
            let (isLast, stem) = (index == parts.count - 1, withoutEnding(part))
            func fits(_ name: String) -> Bool { isLast ? hasEnding(name) && withoutEnding(name) == stem : name == part }
            places = places.flatMap { place in
                (names(in: place.path, atMost: limits.names) ?? []).filter(fits).sorted().map {
                    (joined(place.path, $0), place.relative.isEmpty ? $0 : place.relative + "/" + $0)
                }
            }
        }
        // Also the exact path: its name may begin with a dot, or its folder may hold too many names to list.
        let plain = hasEnding(name) ? name : name + ending
        let path = joined(folder, plain)
        if entryExists(path), !places.contains(where: { $0.path.utf8.elementsEqual(path.utf8) }) {
            places.append((path, plain))
        }
        return places.compactMap { Entry(path: $0.path, relative: $0.relative) }
    }

    // MARK: Names

    private static let ending = LoRALibrary.ending

    static func joined(_ folder: String, _ name: String) -> String {
        folder.hasSuffix("/") ? folder + name : folder + "/" + name
    }

    /// Whether the name ends with `.safetensors`, in letters of either case.
    static func hasEnding(_ name: String) -> Bool {
        name.utf8.count > ending.utf8.count && name.suffix(ending.count).lowercased() == ending
    }

    static func withoutEnding(_ name: String) -> String { hasEnding(name) ? String(name.dropLast(ending.count)) : name }

    static func lastPart(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }
}
