import Foundation
import TestSupport

/// The files of this repository.
enum SourceTree {
    /// The folder that holds Package.swift.
    static let root = Fixtures.repository

    struct File: Sendable {
        /// The path from the root, such as `Sources/Cluster/Lease.swift`.
        let path: String

        var url: URL { root.appendingPathComponent(path) }
        var components: [Substring] { path.split(separator: "/") }
        /// The target that the file belongs to: the folder below Sources or Tests.
        var target: String { components.count > 1 ? String(components[1]) : "" }

        func text() throws -> String { String(decoding: try Data(contentsOf: url), as: UTF8.self) }
    }

    /// All regular files below a folder in a fixed order, without hidden ones and build products.
    static func files(below folder: String) throws -> [File] {
        let start = root.appendingPathComponent(folder)
        let found = FileManager.default.enumerator(atPath: start.path)?.compactMap { $0 as? String } ?? []
        return try found.sorted().compactMap { name in
            guard !name.split(separator: "/").contains(where: { $0.hasPrefix(".") }) else { return nil }
            let values = try start.appendingPathComponent(name).resourceValues(forKeys: [.isRegularFileKey])
            return values.isRegularFile == true ? File(path: folder + "/" + name) : nil
        }
    }

    /// Every file of the project, also hidden tracked ones.
    static func everyFile() throws -> [File] {
        let top = try FileManager.default.contentsOfDirectory(atPath: root.path).sorted()
        let plain =
            top.filter { !ignoredAtTop.contains($0) && !$0.hasPrefix(".") && !isFolder($0) } + [".gitignore", ".swift-format"]
        return try plain.map(File.init) + files(below: "Sources") + files(below: "Tests") + files(below: "deploy")
            + files(below: ".ci")
    }

    /// Products of builds and runs, which .gitignore names.
    static let ignoredAtTop: Set<String> = ["Package.resolved", "patchloom-demo.png"]

    static func isFolder(_ name: String) -> Bool {
        var isFolder: ObjCBool = false
        return FileManager.default.fileExists(atPath: root.appendingPathComponent(name).path, isDirectory: &isFolder)
            && isFolder.boolValue
    }

    static func swiftSources() throws -> [File] { try files(below: "Sources").filter { $0.path.hasSuffix(".swift") } }

    /// Sources and tests in Swift and C.
    static func code() throws -> [File] {
        try (files(below: "Sources") + files(below: "Tests")).filter { file in
            [".swift", ".c", ".h", ".inc"].contains { file.path.hasSuffix($0) }
        }
    }
}
