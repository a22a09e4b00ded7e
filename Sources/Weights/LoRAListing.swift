import Glibc

/// The LoRA files below some folders, and what of the folders was not seen.
///
/// Links are followed, to files and to folders, because collections are often kept on another disk. A folder that is reached
/// again, by a link that leads back to it or by two ways, is listed once. Names that begin with a dot are left out.
struct LoRAListing {
    struct Entry {
        let path: String
        /// Below the folder it was found in.
        let relative: String
        let stamp: FileStamp

        /// The file's name without folders and ending.
        var stem: String { LoRAListing.stem(ofPath: relative) }
    }

    /// How much is looked at: LoRA files, names of any kind, and how deep below a folder.
    struct Limits {
        var files = 20_000
        var names = 200_000
        var depth = 8
    }

    private struct Place: Hashable {
        let device: UInt64
        let inode: UInt64
    }

    /// Sorted by name, folder by folder.
    private(set) var entries: [Entry] = []
    /// Paths of folders and files that cannot be read.
    var passedOver: [String] = []
    /// The limit that ended the search before everything was seen.
    private(set) var limitReached: String?

    private let limits: Limits
    private var looked = 0
    private var visited: Set<Place> = []

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

    private mutating func isNew(_ stamp: FileStamp) -> Bool {
        visited.insert(Place(device: stamp.device, inode: stamp.inode)).inserted
    }

    private mutating func list(_ folder: String, below parents: String, depth: Int) {
        guard let names = Self.names(in: folder, atMost: limits.names - looked + 1) else {
            passedOver.append(folder)
            return
        }
        for name in names.sorted() {
            guard hasRoom() else { return }
            looked += 1
            let path = Self.joined(folder, name)
            let relative = parents.isEmpty ? name : parents + "/" + name
            var status = stat()
            // A broken link may have led to a whole folder.
            guard stat(path, &status) == 0 else {
                passedOver.append(path)
                continue
            }
            switch status.st_mode & S_IFMT {
            case S_IFDIR where depth + 1 >= limits.depth:
                limitReached = limitReached ?? "\(path) lies more than \(limits.depth) folders deep"
            case S_IFDIR:
                if isNew(FileStamp(status)) { list(path, below: relative, depth: depth + 1) }
            case S_IFREG where Self.hasEnding(name):
                entries.append(Entry(path: path, relative: relative, stamp: FileStamp(status)))
            case _ where Self.hasEnding(name): passedOver.append(path)
            default: break
            }
        }
    }

    private mutating func hasRoom() -> Bool {
        if entries.count >= limits.files {
            limitReached = limitReached ?? "they hold more than \(limits.files) LoRA files"
            return false
        }
        if looked >= limits.names {
            limitReached = limitReached ?? "they hold more than \(limits.names) files of any kind"
            return false
        }
        return true
    }

    /// In no order; nil for a folder that cannot be read.
    private static func names(in folder: String, atMost limit: Int) -> [String]? {
        guard let stream = opendir(folder) else { return nil }
        defer { closedir(stream) }
        var names: [String] = []
        while names.count < limit, let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: $0.pointee)) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names
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

    /// The name without its ending, if it has one.
    static func withoutEnding(_ name: String) -> String { hasEnding(name) ? String(name.dropLast(ending.count)) : name }

    static func stem(ofPath path: String) -> String {
        withoutEnding(path.split(separator: "/").last.map(String.init) ?? path)
    }
}
