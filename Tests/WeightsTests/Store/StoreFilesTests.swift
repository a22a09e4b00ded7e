import ContentHash
import Foundation
import TestSupport
import Testing

@testable import Weights

/// Files on their way into the store.
@Suite struct StoreFilesTests {
    @Test func aFileThatChangesMeanwhileIsNotTaken() throws {
        try withTemporaryFolder { folder throws in
            let (source, target) = (folder.appendingPathComponent("a"), folder.appendingPathComponent("b"))
            try folder.write("a", "old content")
            let content = try FileBytes(mapping: source.path)
            let digest = content.digest()
            let placed = try StoreFiles.place(content, digest, at: target.path)
            #expect(placed.digest() == digest && placed.path == target.path)
            try FileManager.default.removeItem(at: target)
            // Written into, and then replaced by another file.
            let handle = try FileHandle(forWritingTo: source)
            try handle.write(contentsOf: Data("new".utf8))
            try handle.close()
            let error = weightsError { _ = try StoreFiles.place(content, digest, at: target.path) }
            #expect(error?.code == .unreadable && error?.message.contains("changed while it was imported") == true)
            #expect(error?.message.contains(source.path) == true)
            #expect(!FileManager.default.fileExists(atPath: target.path))
        }
    }

    @Test func aLockThatCannotBeOpenedIsNamed() throws {
        try withTemporaryFolder { folder throws in
            // A link in the place of the file is never followed.
            try FileManager.default.createSymbolicLink(
                at: folder.appendingPathComponent("lock"), withDestinationURL: folder.appendingPathComponent("other"))
            func error(exclusive: Bool) -> WeightsError? {
                weightsError { try StoreFiles.locked(folder.path, exclusive: exclusive) { () throws(WeightsError) in } }
            }
            let (reader, writer) = (error(exclusive: false), error(exclusive: true))
            #expect(reader?.code == .unreadable && reader?.message.contains("lock cannot be opened for reading") == true)
            #expect(writer?.code == .unwritable && writer?.message.contains("lock cannot be written") == true)
        }
    }
}
