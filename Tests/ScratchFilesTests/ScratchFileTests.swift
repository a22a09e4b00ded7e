import Foundation
import Sentences
import Testing

@testable import ScratchFiles

struct ScratchFileTests {
    private static let folder = FileManager.default.temporaryDirectory.path

    @Test(arguments: [nil, folder])
    func bytesComeBack(_ folder: String?) throws {
        let file = try ScratchFile(in: folder)
        try file.write([1, 2, 3], at: 5)
        try file.write([9], at: 6)
        #expect(try file.read(8, at: 0) == [0, 0, 0, 0, 0, 1, 9, 3])
        #expect(try file.read(0, at: 100) == [])
        // Nothing is there, and the file makes no numbers up.
        #expect(throws: ScratchError.self) { try file.read(4, at: 5) }
        let far = 1 << 42
        try file.write([7, 8], at: far)
        #expect(try file.read(2, at: far) == [7, 8])
    }

    @Test func noNameIsLeft() throws {
        let folder = URL(filePath: Self.folder).appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = try ScratchFile(in: folder.path)
        try file.write([1], at: 0)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
    }

    @Test func manyThreadsReadAndWrite() async throws {
        let file = try ScratchFile(bytes: 1 << 20)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for part in 0..<64 {
                group.addTask { try file.write([UInt8](repeating: UInt8(part), count: 4096), at: part * 4096) }
            }
            try await group.waitForAll()
        }
        for part in 0..<64 { #expect(Set(try file.read(4096, at: part * 4096)) == [UInt8(part)]) }
    }

    @Test func aFolderThatIsNoneIsOneSentence() {
        let error = #expect(throws: ScratchError.self) { try ScratchFile(in: "/nowhere/at all") }
        #expect(
            error?.description
                == "No temporary file can be used in /nowhere/at all (No such file or directory): set TMPDIR to a folder on a "
                + "disk with room.")
    }

    /// A full disk, as the system reports it.
    @Test func aFullDiskIsOneSentence() throws {
        let full = ScratchError(errno: ENOSPC, folder: "/var/tmp")
        #expect(
            full.description
                == "The disk of /var/tmp is full: free some space there, or set TMPDIR to a folder on a disk with room.")
    }
}
