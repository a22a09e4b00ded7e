import Foundation
import TensorCore
import TestSupport
import Testing

@testable import Weights

/// The folder of packed weights: limits, the order of removal, unfinished files, folders of others.
@Suite struct PackedFolderTests {
    private func context() throws -> ComputeContext { try ComputeContext(backend: .auto, threads: 1) }

    @Test func theLongestUnusedFileGoes() throws {
        try withThreeFiles { fixture, context, keys, sizes throws in
            // Its use makes the first file the newest.
            let used = try fixture.network(CountedSource(seed: 0), keys[0], context)
            #expect(used.isMapped)
            var narrow = fixture
            narrow.limit = sizes.reduce(sizes[0] / 2, +)
            let new = PackedFixture.key("d", context: context)
            let added = try narrow.network(CountedSource(seed: 4), new, context)
            #expect(added.isMapped)
            #expect(Set(fixture.names) == Set([keys[0], keys[2], new].map(\.fileName)))
        }
    }

    @Test func aFileInUseMayGo() throws {
        try withThreeFiles { fixture, context, keys, sizes throws in
            let packed = fixture.packed()
            let source = CountedSource(seed: 0)
            let kept = try packed.network(keys[0], of: .f32, weights: { WeightScope(source) }) { scope in
                try scope["norm"].tensor("weight", shape: [7])
            }
            #expect(kept.isMapped && source.readCount == 0)
            try FileManager.default.removeItem(atPath: fixture.path(keys[0]))
            #expect(try kept.network.array == source.tensor("norm.weight", shape: [7]).array)
            // The next worker makes it again.
            let again = try fixture.network(CountedSource(seed: 0), keys[0], context)
            #expect(again.isMapped)
            #expect(fixture.names.count == 3)
        }
    }

    @Test func aNetworkBeyondTheLimitStaysInMemory() throws {
        try withThreeFiles { fixture, context, keys, sizes throws in
            var narrow = fixture
            narrow.limit = 3999
            let result = try narrow.network(CountedSource(seed: 4), PackedFixture.key("d", context: context), context)
            #expect(!result.isMapped)
            #expect(try result.network == CountedNetwork(WeightScope(CountedSource(seed: 4)), context))
            #expect(fixture.names.count == 3)
            #expect(fixture.notes.all.count == 1 && fixture.notes.all[0].contains("the limit of 3999"), "\(fixture.notes.all)")
        }
    }

    // MARK: Unfinished files

    private func writeUnfinished(_ fixture: PackedFixture, _ name: String, count: Int) throws -> String {
        let path = "\(fixture.folder)/\(name).packed.tmp"
        try Data(repeating: 1, count: count).write(to: URL(fileURLWithPath: path))
        return path
    }

    /// The next worker that needs packed weights removes them, also if it makes none.
    @Test func whatDeadWritersLeftGoes() throws {
        try withThreeFiles { fixture, context, keys, _ throws in
            for name in ["dead", keys[1].fileName.replacing(".packed", with: "")] {
                _ = try writeUnfinished(fixture, name, count: 70)
            }
            let source = CountedSource(seed: 0)
            #expect(try fixture.network(source, keys[0], context).isMapped && source.readCount == 0)
            #expect(Set(fixture.names) == Set(keys.map(\.fileName)))
        }
    }

    /// A file that cannot be removed keeps no other file from being used: a folder may be closed to writers on purpose.
    @Test func whatCannotBeRemovedOnlyKeepsFilesFromBeingMade() throws {
        try withThreeFiles { fixture, context, keys, _ throws in
            _ = try writeUnfinished(fixture, "dead", count: 70)
            var closed = fixture
            closed.remove = { path throws(WeightsError) in throw StoreFiles.unwritable(path, EACCES) }
            for (index, key) in keys.enumerated() {
                let source = CountedSource(seed: Float(index))
                #expect(try closed.network(source, key, context).isMapped && source.readCount == 0)
            }
            #expect(fixture.notes.all.isEmpty, "\(fixture.notes.all)")
            let result = try closed.network(CountedSource(seed: 4), PackedFixture.key("d", context: context), context)
            #expect(try !result.isMapped && result.network == CountedNetwork(WeightScope(CountedSource(seed: 4)), context))
            #expect(
                fixture.notes.all.count == 1 && fixture.notes.all[0].contains("dead.packed.tmp cannot be written"),
                "\(fixture.notes.all)")
            #expect(fixture.names.count == 4)
        }
    }

    @Test func filesUnderWayCountAndStay() throws {
        try withThreeFiles { fixture, context, keys, sizes throws in
            let path = try writeUnfinished(fixture, "busy", count: 5000)
            let writer = open(path, O_RDWR | O_CLOEXEC)
            #expect(writer >= 0 && flock(writer, LOCK_EX) == 0)
            defer { close(writer) }
            let setting = PackedWeights.Setting(folder: fixture.folder, limit: sizes.reduce(5000, +) - 1)
            #expect(try PackedWeights.prune(setting, all: false).removedFiles == 1)
            #expect(Set(fixture.names) == Set(keys.dropFirst().map(\.fileName) + ["busy.packed.tmp"]))
        }
    }

    /// Between the look at a name and its removal another writer may have begun a file of the same name.
    @Test func aNewWritersFileIsNotTakenForADeadOne() throws {
        try withThreeFiles { fixture, _, keys, _ throws in
            let folder = PackedFolder(path: fixture.folder)
            let target = fixture.folder + "/new.packed"
            _ = try writeUnfinished(fixture, "new", count: 9)
            var writer: PackedFolder.Unfinished?
            let removed = try folder.removeLeftBehind { path in
                #expect(rename(path, target) == 0)
                writer = try? folder.begin(target)
            }
            #expect(removed.isEmpty)
            let file = try #require(writer)
            #expect(fixture.names.contains("new.packed.tmp"))
            try file.publish(target)
            #expect(!fixture.names.contains("new.packed.tmp"))
        }
    }

    @Test func aWriterNoticesThatItsFileWasTakenAway() throws {
        try withThreeFiles { fixture, _, _, _ throws in
            let folder = PackedFolder(path: fixture.folder)
            let file = try #require(try folder.begin(fixture.folder + "/new.packed"))
            #expect(unlink(file.path) == 0)
            try Data([1]).write(to: URL(fileURLWithPath: file.path))
            #expect(weightsError { try file.publish(fixture.folder + "/new.packed") }?.code == .unwritable)
            // The other file is not this writer's to remove.
            file.discard()
            #expect(fixture.names.contains("new.packed.tmp") && !fixture.names.contains("new.packed"))
        }
    }

    // MARK: Folders of others

    /// Only root can make folders of other users. `sudo` leaves some users' `HOME` as it was.
    @Test(.enabled(if: geteuid() == 0), arguments: ["packed", "store", ""])
    func inFoldersOfOthersNothingIsKept(_ place: String) throws {
        let context = try context()
        try withTemporaryFolder { folder throws in
            let fixture = PackedFixture(folder)
            let key = PackedFixture.key(context: context)
            if place == "packed" { _ = try fixture.network(CountedSource(seed: 1), key, context) }
            if place == "store" {
                try FileManager.default.createDirectory(
                    at: folder.appendingPathComponent("store"), withIntermediateDirectories: false)
            }
            let owned = ["packed": fixture.folder, "store": folder.path + "/store", "": folder.path][place] ?? ""
            #expect(chown(owned, 1234, 1234) == 0)
            let before = fixture.names
            let source = CountedSource(seed: 1)
            let result = try fixture.network(source, key, context)
            #expect(!result.isMapped && source.readCount == 3 && fixture.names == before)
            #expect(try result.network == CountedNetwork(WeightScope(CountedSource(seed: 1)), context))
            #expect(fixture.notes.all.count == 1 && fixture.notes.all[0].contains("another user"), "\(fixture.notes.all)")
            #expect(FileManager.default.fileExists(atPath: fixture.folder) == (place == "packed"))
            let setting = PackedWeights.Setting(folder: fixture.folder, limit: 0)
            if place == "packed" {
                #expect(weightsError { _ = try PackedWeights.prune(setting, all: true) }?.code == .unwritable)
            } else {
                // Pruning makes no folder, and without one there is nothing to remove.
                #expect(try PackedWeights.prune(setting, all: true) == PackedPruning())
                #expect(!FileManager.default.fileExists(atPath: fixture.folder))
            }
            #expect(fixture.names == before)
        }
    }

    @Test func aFolderThatCannotBeMadeStopsNothing() throws {
        let context = try context()
        try withTemporaryFolder { folder throws in
            try folder.write("store", "a file")
            let fixture = PackedFixture(folder)
            let result = try fixture.network(CountedSource(seed: 1), PackedFixture.key(context: context), context)
            #expect(!result.isMapped)
            #expect(try result.network == CountedNetwork(WeightScope(CountedSource(seed: 1)), context))
            #expect(fixture.notes.all.count == 1 && fixture.notes.all[0].contains("cannot be made"), "\(fixture.notes.all)")
        }
    }

    /// `/dev/full` refuses every write, as a full disk does.
    @Test func aFullDiskIsNoticed() throws {
        let descriptor = open("/dev/full", O_RDWR)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        let writer = PackedWriter(descriptor, path: "/dev/full")
        let error = weightsError {
            try [UInt8](repeating: 1, count: 100).withUnsafeBytes { try writer.add("a", format: "f32", $0) }
        }
        #expect(error?.code == .unwritable && error == writer.failure)
    }

    /// Tensors around the borders of checksummed pieces, and one of several pieces.
    @Test func largeTensorsHaveSeveralChecksums() throws {
        try withTemporaryFolder { folder throws in
            let path = folder.appendingPathComponent("large").path
            let descriptor = open(path, O_RDWR | O_CREAT, 0o600)
            try #require(descriptor >= 0)
            let piece = PackedForm.pieceBytes
            let sizes = [piece - 64, 64, 1, 2 * piece + 5, 3]
            let writer = PackedWriter(descriptor, path: path)
            for (index, size) in sizes.enumerated() {
                let bytes = randomBytes(seed: UInt64(index), count: size)
                try bytes.withUnsafeBytes { try writer.add("t\(index)", format: "bytes", $0) }
            }
            try writer.finish("key")
            close(descriptor)
            let (content, _) = try PackedReader.content(path)
            let head = try PackedReader.head(content.bytes, path)
            #expect(head.entries.map(\.byteCount) == sizes && head.checksums.count == 4)
            #expect(head.entries.allSatisfy { $0.offset % ($0.byteCount >= 65536 ? 4096 : 64) == 0 })
            _ = try PackedReader(path: path, key: "key", threads: 2)
            // A byte of each piece.
            for place in [4096, 4096 + piece, 4096 + 2 * piece + 77, head.end - 1] {
                var bytes = [UInt8](content.bytes)
                bytes[place] ^= 1
                try Data(bytes).write(to: URL(fileURLWithPath: path))
                chmod(path, 0o600)
                #expect(weightsError { _ = try PackedReader(path: path, key: "key", threads: 2) }?.code == .malformed)
            }
        }
    }

    /// A worker maps the same file again and again. It reads all of it once, and again when the file was written.
    @Test func aFileIsCheckedOnceUnlessItChanges() throws {
        try withThreeFiles { fixture, context, keys, _ throws in
            let packed = fixture.packed()
            func isMapped(_ source: CountedSource) throws -> Bool {
                try packed.network(keys[0], of: .f32, weights: { WeightScope(source) }) { try CountedNetwork($0, context) }
                    .isMapped
            }
            #expect(try isMapped(CountedSource(seed: 0)))
            // Damage that keeps the times stands for a file that is not read again.
            var status = stat()
            #expect(stat(fixture.path(keys[0]), &status) == 0)
            var bytes = try fixture.content(keys[0])
            bytes[4096] ^= 1
            let file = try FileHandle(forWritingTo: URL(fileURLWithPath: fixture.path(keys[0])))
            try file.write(contentsOf: bytes)
            try file.close()
            #expect(utimensat(AT_FDCWD, fixture.path(keys[0]), [status.st_atim, status.st_mtim], 0) == 0)
            let source = CountedSource(seed: 0)
            #expect(try isMapped(source) && source.readCount == 0)
            // With its own time the change is seen.
            #expect(utimensat(AT_FDCWD, fixture.path(keys[0]), nil, 0) == 0)
            #expect(try isMapped(source) && source.readCount == 3)
        }
    }

    // MARK: Removal on request

    @Test func pruningKeepsWhatIsOfUse() throws {
        try withThreeFiles { fixture, _, keys, sizes throws in
            let setting = PackedWeights.Setting(folder: fixture.folder, limit: 1 << 30)
            #expect(try PackedWeights.prune(setting, all: false) == PackedPruning(keptFiles: 3, keptBytes: sizes.reduce(0, +)))
            var old = try fixture.content(keys[1])
            old[8] = 99
            try fixture.replace(keys[1], old)
            try Data(repeating: 1, count: 10).write(to: URL(fileURLWithPath: fixture.path(keys[2]) + ".tmp"))
            #expect(
                try PackedWeights.prune(setting, all: false)
                    == PackedPruning(
                        removedFiles: 2, removedBytes: sizes[1] + 10, keptFiles: 2, keptBytes: sizes[0] + sizes[2]))
            #expect(Set(fixture.names) == Set([keys[0], keys[2]].map(\.fileName)))
        }
    }

    /// Pruning is no use of the files that it looks into: their order and their times stay.
    @Test func pruningIsNoUse() throws {
        try withThreeFiles { fixture, _, keys, sizes throws in
            let setting = PackedWeights.Setting(folder: fixture.folder, limit: 1 << 30)
            _ = try PackedWeights.prune(setting, all: false)
            let uses = try PackedFolder(path: fixture.folder).entries()
            #expect(uses.map(\.name) == keys.map(\.fileName))
            let times: [Int64] = [1_000_000_000_000_000, 1_000_001_000_000_000, 1_000_002_000_000_000]
            #expect(uses.map(\.lastUse) == times)
        }
    }

    @Test func pruningKeepsTheLimitAndRemovesAllOnRequest() throws {
        try withThreeFiles { fixture, _, keys, sizes throws in
            let narrow = PackedWeights.Setting(folder: fixture.folder, limit: sizes[1] + sizes[2])
            #expect(
                try PackedWeights.prune(narrow, all: false)
                    == PackedPruning(
                        removedFiles: 1, removedBytes: sizes[0], keptFiles: 2, keptBytes: sizes[1] + sizes[2]))
            #expect(Set(fixture.names) == Set(keys.dropFirst().map(\.fileName)))
            #expect(
                try PackedWeights.prune(narrow, all: true) == PackedPruning(removedFiles: 2, removedBytes: sizes[1] + sizes[2]))
            #expect(fixture.names == [])
            // Nothing is there, not even the folder.
            try FileManager.default.removeItem(atPath: fixture.folder)
            #expect(try PackedWeights.prune(narrow, all: true) == PackedPruning())
            #expect(!FileManager.default.fileExists(atPath: fixture.folder))
        }
    }
}
