import Glibc

/// A symbolic link to nothing, at a path or on the way to it.
public struct BrokenLink: Sendable, Equatable {
    /// The path of the link. If links lead to links, this is the last one.
    public let link: String
    /// The path written in the link.
    public let target: String
    /// Whether the links lead in a circle, instead of to a missing file.
    public let isCircle: Bool
    private let path: String

    /// The link that is at fault for the missing file at `path`; nil if there is none.
    public init?(on path: String) {
        guard var found = Self.first(on: path) else { return nil }
        // The system follows at most forty links, so there are no more to look at.
        for _ in 0..<40 where !found.isCircle {
            guard let next = Self.first(on: Self.place(of: found.target, in: found.link)) else { break }
            found = next
        }
        (self.path, link, target, isCircle) = (path, found.link, found.target, found.isCircle)
    }

    /// The sentence for the user, without its end: the caller adds a semicolon and the remedy.
    public var explanation: String {
        let subject = link == path ? "\(path) is" : "\(path) cannot be reached: \(link) is"
        return "\(subject) a link to \(target), \(isCircle ? "from where links lead in a circle" : "which is not there")"
    }

    /// The first part of a path that is a link to nothing.
    private static func first(on path: String) -> (link: String, target: String, isCircle: Bool)? {
        guard !path.utf8.contains(0) else { return nil }
        var end = path.startIndex
        while end < path.endIndex {
            end = path[end...].dropFirst().firstIndex(of: "/") ?? path.endIndex
            let part = String(path[..<end])
            var status = stat()
            guard stat(part, &status) != 0 else { continue }
            let number = errno
            guard [ENOENT, ENOTDIR, ELOOP].contains(number), let target = target(of: part) else { continue }
            return (part, target, number == ELOOP)
        }
        return nil
    }

    /// The target of the link at a path; nil if it is no link.
    public static func target(of link: String) -> String? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink(link, &buffer, buffer.count)
        return count > 0 ? String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
    }

    /// A relative target starts at the folder of the link.
    private static func place(of target: String, in link: String) -> String {
        guard !target.hasPrefix("/"), let slash = link.lastIndex(of: "/") else { return target }
        return link[...slash] + target
    }
}
