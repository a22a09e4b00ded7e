import Foundation
import ImageFiles
import TestSupport
import Testing

@Suite struct OutputFileTests {
    /// Runs the body with a new folder that is removed afterwards.
    static func withFolder(_ body: (URL) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("patchloom-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try body(folder)
    }

    static func names(_ folder: URL) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    }

    static func code(_ path: String, replacesExisting: Bool = true) -> ImageFileError.Code? {
        do {
            _ = try OutputFile(path: path, replacesExisting: replacesExisting)
            return nil
        } catch {
            return error.code
        }
    }

    @Test func bytesArriveAndNothingElseIsLeft() throws {
        try Self.withFolder { folder in
            let path = folder.appendingPathComponent("a.png").path
            let output = try OutputFile(path: path)
            #expect(try Self.names(folder).isEmpty)
            try output.write([1, 2, 3])
            #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data([1, 2, 3]))
            try output.write([])
            #expect(try Data(contentsOf: URL(fileURLWithPath: path)).isEmpty)
            #expect(try Self.names(folder) == ["a.png"])
            let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
            let mask = umask(0)
            umask(mask)
            #expect(mode == 0o666 & ~Int(mask))
            try FileManager.default.setAttributes([.posixPermissions: 0o640], ofItemAtPath: path)
            try output.write([7])
            #expect(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == 0o640)
        }
    }

    @Test func piecesMakeOneFileAndADraftLeavesNothing() throws {
        try Self.withFolder { folder in
            let path = folder.appendingPathComponent("out.png").path
            let place = try OutputFile(path: path)
            var draft = try place.draft()
            try draft.append([1, 2])
            try draft.append([3])
            #expect(!FileManager.default.fileExists(atPath: path))
            try draft.commit()
            #expect(FileManager.default.contents(atPath: path) == Data([1, 2, 3]))
            do {
                var second = try place.draft()
                try second.append([9])
            }
            #expect(try Self.names(folder) == ["out.png"])
            #expect(FileManager.default.contents(atPath: path) == Data([1, 2, 3]))
        }
    }

    @Test func existingFilesAreKeptWhenAsked() throws {
        try Self.withFolder { folder in
            let path = folder.appendingPathComponent("a.png").path
            let early = try OutputFile(path: path, replacesExisting: false)
            try Data([9]).write(to: URL(fileURLWithPath: path))
            #expect(Self.code(path, replacesExisting: false) == .exists)
            #expect(throws: ImageFileError.self) { try early.write([1]) }
            #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data([9]))
            #expect(try Self.names(folder) == ["a.png"])
            try FileManager.default.removeItem(atPath: path)
            try early.write([1])
            #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data([1]))
        }
    }

    @Test func placesThatCannotBeWrittenAreRefusedAtOnce() throws {
        try Self.withFolder { folder in
            #expect(Self.code("") == .cannotWrite)
            #expect(Self.code("a\u{0}b") == .cannotWrite)
            #expect(Self.code(folder.path) == .cannotWrite)
            #expect(Self.code(folder.path + "/") == .cannotWrite)
            #expect(Self.code("/dev/null") == .cannotWrite)
            #expect(Self.code("/proc/patchloom.png") == .cannotWrite)
            #expect(Self.code(folder.appendingPathComponent("missing/a.png").path) == .cannotWrite)
            let file = folder.appendingPathComponent("file")
            try Data().write(to: file)
            #expect(Self.code(file.appendingPathComponent("a.png").path) == .cannotWrite)
            #expect(
                Self.code(folder.appendingPathComponent(String(repeating: "n", count: 300)).path + "/a.png") == .cannotWrite)
            #expect(try Self.names(folder) == ["file"])
        }
    }

    @Test func failedWritesLeaveNothing() throws {
        try Self.withFolder { folder in
            let path = folder.appendingPathComponent("a.png").path
            let output = try OutputFile(path: path)
            // A folder takes the place between the check and the write, so the rename fails.
            try FileManager.default.createDirectory(atPath: path + "/inner", withIntermediateDirectories: true)
            let error = #expect(throws: ImageFileError.self) { try output.write([1, 2, 3]) }
            #expect(error?.code == .cannotWrite)
            #expect(error?.systemError == EISDIR)
            #expect(try Self.names(folder) == ["a.png"])
        }
    }

    @Test func symbolicLinksAreFollowed() throws {
        try Self.withFolder { folder in
            let real = folder.appendingPathComponent("real.png")
            try Data([0]).write(to: real)
            let link = folder.appendingPathComponent("link.png").path
            try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: "real.png")
            try OutputFile(path: link).write([5])
            #expect(try Data(contentsOf: real) == Data([5]))
            #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == "real.png")
            let dangling = folder.appendingPathComponent("dangling.png").path
            try FileManager.default.createSymbolicLink(atPath: dangling, withDestinationPath: "nowhere/x.png")
            let refusal = #expect(throws: ImageFileError.self) { _ = try OutputFile(path: dangling) }
            #expect(refusal?.code == .cannotWrite)
            #expect(refusal?.message.hasPrefix("\(dangling) ") == true, "\(refusal as Any)")
            #expect(refusal?.message.contains(" nowhere/x.png") == true, "the link's target: \(refusal as Any)")
            #expect(refusal?.message.hasSuffix("; remove the link or give another name.") == true, "\(refusal as Any)")
        }
    }

    @Test func picturesAreReadFromFiles() throws {
        try Self.withFolder { folder in
            let path = folder.appendingPathComponent("a.png").path
            try OutputFile(path: path).write(try PNGEncoder.encode(rgb: [1, 2, 3], width: 1, height: 1))
            #expect(try ImageDecoder.decode(file: path).pixels == [1, 2, 3])
            var limits = PictureLimits.standard
            limits.fileBytesMax = 10
            for (path, expected) in [
                (folder.path, ImageFileError.Code.cannotRead), (folder.path + "/none.png", .notFound),
                ("/dev/zero", .cannotRead),
                (path, .tooLarge),
            ] {
                #expect {
                    try ImageDecoder.decode(file: path, limits: limits)
                } throws: {
                    ($0 as? ImageFileError)?.code == expected
                }
            }
        }
    }
}
