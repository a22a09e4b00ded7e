import ContentHash
import Foundation
import TestSupport
import Testing

@testable import Weights

private let hour: Int64 = 3_600_000_000_000
/// A little more than the memory keeps, so that a shorter file is still kept.
private let size = Int(DigestMemory.smallest) + 8

/// A clock that runs an hour ahead, for which files of this test have settled.
@Sendable private func later() -> Int64 { FileStamp.now() + hour }

/// The digest that a new process with this memory finds for a file, and the counts of its reads.
private func look(
    _ file: URL, _ folder: URL, rereads: Bool = false, clock: @escaping @Sendable () -> Int64 = later
) throws -> (digest: SHA256Digest, tally: DigestMemory.Tally) {
    let memory = DigestMemory(folder: folder.path, rereads: rereads, clock: clock)
    let digest = try FileBytes(mapping: file.path, digests: memory).digest()
    return (digest, memory.tally)
}

private func content(_ seed: UInt64, count: Int = size) -> [UInt8] {
    randomBytes(seed: seed, count: count)
}

/// A folder with the file `a` and a place for memories.
private func withFile(_ body: (_ file: URL, _ folder: URL) throws -> Void) throws {
    try withTemporaryFolder { folder throws in
        try folder.write("a", content(1))
        try body(folder.appendingPathComponent("a"), folder.appendingPathComponent("deep/cache"))
    }
}

/// Waits until the clock of file systems has moved on. The clock of these tests hides the rule that takes care of that.
private func nextTick() { usleep(30_000) }

private func setTimes(_ file: URL, to stamp: FileStamp) {
    let (second, rest) = Int(stamp.modified).quotientAndRemainder(dividingBy: 1_000_000_000)
    var both = [timespec(tv_sec: second, tv_nsec: rest), timespec(tv_sec: second, tv_nsec: rest)]
    #expect(utimensat(AT_FDCWD, file.path, &both, 0) == 0)
}

@Suite struct DigestMemoryTests {
    @Test func anUnchangedFileIsReadOnce() throws {
        try withFile { file, folder throws in
            let digest = SHA256Digest(of: content(1))
            let first = try look(file, folder)
            #expect(first.digest == digest && first.tally.hashedFiles == 1 && first.tally.hashedBytes == size)
            let second = try look(file, folder)
            #expect(second.digest == digest && second.tally.hashedBytes == 0 && second.tally.hashedFiles == 0)
            #expect(second.tally.rememberedFiles == 1 && second.tally.rememberedBytes == size)
            // Under another path too, and through links.
            let copy = file.deletingLastPathComponent().appendingPathComponent("b")
            try FileManager.default.createSymbolicLink(at: copy, withDestinationURL: file)
            #expect(try look(copy, folder).tally.rememberedFiles == 1)
        }
    }

    /// A file may change again within the tick of the clock in which it changed last.
    @Test(arguments: [-hour, -1, 0, 1, FileStamp.freshness / 2, FileStamp.freshness])
    func aFreshStampIsNotKept(age: Int64) throws {
        try withFile { file, folder throws in
            let stamp = try #require(FileStamp(path: file.path))
            let clock = { @Sendable in max(stamp.modified, stamp.changed) + age }
            for _ in 0..<2 {
                let found = try look(file, folder, clock: clock)
                #expect(found.digest == SHA256Digest(of: content(1)) && found.tally.hashedFiles == 1)
            }
            let settled = { @Sendable in max(stamp.modified, stamp.changed) + FileStamp.freshness + 1 }
            #expect(try look(file, folder, clock: settled).tally.hashedFiles == 1)
            #expect(try look(file, folder, clock: settled).tally.hashedFiles == 0)
        }
    }

    /// A file system without times gives 1970 for every change. Programs may set the time of the last change to 1970 too.
    @Test func aStampWithoutTimesNeverSettles() {
        func isSettled(_ modified: Int64, _ changed: Int64, at time: Int64 = later()) -> Bool {
            FileStamp(place: FileStamp.Place(device: 1, inode: 2), size: 3, modified: modified, changed: changed)
                .isSettled(at: time)
        }
        #expect(!isSettled(0, 0) && !isSettled(-5, -5) && !isSettled(1, .min))
        #expect(isSettled(0, 1) && isSettled(-5, 1) && isSettled(.min, 1))
        #expect(!isSettled(.max, 1) && !isSettled(0, .max) && !isSettled(0, 1, at: .min) && isSettled(0, 1, at: .max))
    }

    /// The same holds in the memory of one process, which has no file.
    @Test func aFreshStampIsNotKeptInOneProcess() throws {
        try withFile { file, _ throws in
            let memory = DigestMemory()
            for count in 1...2 {
                _ = try FileBytes(mapping: file.path, digests: memory).digest()
                #expect(memory.tally.hashedFiles == count)
            }
        }
    }

    @Test(arguments: [
        "append", "cut", "byte", "byte, times restored", "times", "attributes", "replaced, times restored", "link to another",
    ])
    func aChangedFileIsReadAgain(change: String) throws {
        try withFile { file, folder throws in
            let before = try #require(FileStamp(path: file.path))
            _ = try look(file, folder)
            nextTick()
            var expected = content(1)
            switch change {
            case "append": expected += [0]
            case "cut": expected.removeLast()
            case "byte", "byte, times restored", "replaced, times restored", "link to another": expected[size / 2] ^= 1
            default: break
            }
            let other = file.deletingLastPathComponent().appendingPathComponent("other")
            switch change {
            case "times":
                var times = [timespec(tv_sec: 1_000_000_000, tv_nsec: 1), timespec(tv_sec: 1_000_000_000, tv_nsec: 1)]
                #expect(utimensat(AT_FDCWD, file.path, &times, 0) == 0)
            case "attributes": #expect(chmod(file.path, 0o600) == 0)
            case "replaced, times restored":
                try Data(expected).write(to: other)
                #expect(rename(other.path, file.path) == 0)
            case "link to another":
                try Data(expected).write(to: other)
                try FileManager.default.removeItem(at: file)
                try FileManager.default.createSymbolicLink(at: file, withDestinationURL: other)
            default:
                let handle = try FileHandle(forWritingTo: file)
                try handle.write(contentsOf: Data(expected))
                try handle.truncate(atOffset: UInt64(expected.count))
                try handle.close()
            }
            if change.hasSuffix("restored") { setTimes(file, to: before) }
            let after = try #require(FileStamp(path: file.path))
            if change.hasSuffix("restored") { #expect(after.modified == before.modified && after.size == before.size) }
            #expect(after != before)
            for hashed in [1, 0] {
                let found = try look(file, folder)
                #expect(found.digest == SHA256Digest(of: expected) && found.tally.hashedFiles == hashed)
            }
        }
    }

    @Test func aFileThatChangesWhileItIsReadIsNotKept() throws {
        try withFile { file, folder throws in
            let memory = DigestMemory(folder: folder.path, clock: later)
            let opened = try FileBytes(mapping: file.path, digests: memory)
            #expect(chmod(file.path, 0o600) == 0)
            _ = opened.digest()
            #expect(try look(file, folder).tally.hashedFiles == 1)
        }
    }

    /// Hashing a small file is faster than keeping its hash for other processes.
    @Test func smallFilesStayOutOfTheFile() throws {
        try withTemporaryFolder { folder throws in
            try folder.write("a", content(1, count: size - 16))
            let (file, cache) = (folder.appendingPathComponent("a"), folder.appendingPathComponent("cache"))
            for _ in 0..<2 { #expect(try look(file, cache).tally.hashedFiles == 1) }
            #expect(!FileManager.default.fileExists(atPath: cache.path))
            let memory = DigestMemory(folder: cache.path, clock: later)
            for _ in 0..<2 { _ = try FileBytes(mapping: file.path, digests: memory).digest() }
            #expect(memory.tally.hashedFiles == 1 && memory.tally.rememberedFiles == 1)
        }
    }

    /// Large files are hashed piece by piece; the boundaries of the pieces must not show.
    @Test(arguments: [8 << 20, (8 << 20) + 1, (16 << 20) - 1, 17 << 20]) func piecesMakeOneHash(count: Int) throws {
        try withTemporaryFolder { folder throws in
            let bytes = content(3, count: count)
            try folder.write("a", bytes)
            let others = content(4, count: count)
            try folder.write("b", others)
            let files = try ["a", "b"].map { try FileBytes(mapping: folder.appendingPathComponent($0).path) }
            FileBytes.prepareDigests(of: files)
            #expect(files.map { $0.digest() } == [SHA256Digest(of: bytes), SHA256Digest(of: others)])
            // The pages that hashing gave back are there when somebody reads.
            withExtendedLifetime(files) { #expect(SHA256Digest(of: files[0].bytes) == SHA256Digest(of: bytes)) }
        }
    }

    // MARK: The file

    /// Any file in the place of the memory: hashes are right, nothing traps, and the memory works afterwards.
    @Test(arguments: [
        "empty", "cut", "longer", "flipped", "text", "other version", "huge", "others may write", "a link", "a pipe",
    ])
    func aDamagedMemoryIsIgnoredAndWrittenAnew(damage: String) throws {
        try withFile { file, folder throws in
            _ = try look(file, folder)
            let path = folder.path + "/digests"
            var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
            #expect(bytes.count == 20 + 112 + 32)
            switch damage {
            case "empty": bytes = []
            case "cut": bytes.removeLast(112)
            case "longer": bytes += [UInt8](repeating: 0, count: 112)
            // One bit of the hash.
            case "flipped": bytes[20 + 48] ^= 1
            case "text": bytes = Array("{\"digests\": []}".utf8)
            case "other version":
                bytes = Array(bytes.dropLast(32))
                bytes[18] = UInt8(ascii: "1")
                bytes += SHA256Digest(of: bytes).bytes
            case "huge": bytes = [UInt8](repeating: 65, count: DigestRecords.maxByteCount + 1)
            default: break
            }
            try FileManager.default.removeItem(atPath: path)
            switch damage {
            case "a link":
                try Data(bytes).write(to: URL(fileURLWithPath: path + "-other"))
                try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: path + "-other")
            case "a pipe": #expect(mkfifo(path, 0o600) == 0)
            default: try Data(bytes).write(to: URL(fileURLWithPath: path))
            }
            if damage == "others may write" { #expect(chmod(path, 0o666) == 0) }
            for hashed in [1, 0] {
                let found = try look(file, folder)
                #expect(found.digest == SHA256Digest(of: content(1)) && found.tally.hashedFiles == hashed, "\(found)")
                #expect(found.tally.fault == nil)
            }
        }
    }

    @Test func everyDamagedByteIsNoticed() {
        var records = DigestRecords()
        for index in 0..<3 { records.put(Self.record(index, used: 5)) }
        var record = Self.record(3, used: 6)
        record.tensors = SHA256Digest(of: [7])
        records.put(record)
        let bytes = records.bytes
        #expect(DigestRecords(bytes) == records)
        for index in bytes.indices {
            var damaged = bytes
            damaged[index] ^= 0x80
            #expect(DigestRecords(damaged) == nil, "byte \(index)")
            #expect(DigestRecords(Array(bytes.prefix(index))) == nil, "\(index) bytes")
        }
    }

    /// Root makes no folder in another user's, which the user could not write to later.
    @Test(.enabled(if: geteuid() == 0)) func rootMakesNoFolderInAnotherUsers() throws {
        try withFile { file, folder throws in
            let parent = folder.deletingLastPathComponent()
            try FileManager.default.createDirectory(at: parent, withIntermediateDirectories: true)
            #expect(chown(parent.path, 1234, 1234) == 0)
            let found = try look(file, folder)
            #expect(found.digest == SHA256Digest(of: content(1)))
            let fault = found.tally.fault ?? "nothing is said"
            #expect(fault.contains("\(folder.path) ") && fault.contains(" \(parent.path), "), "\(fault)")
            #expect(fault.contains("PATCHLOOM_HOME"), "\(fault)")
            #expect(!FileManager.default.fileExists(atPath: folder.path))
        }
    }

    /// Only root can make a file of another user.
    @Test(.enabled(if: geteuid() == 0), arguments: ["digests", ""]) func whatBelongsToAnotherUserIsNotUsed(name: String) throws
    {
        try withFile { file, folder throws in
            _ = try look(file, folder)
            #expect(chown("\(folder.path)/\(name)", 1234, 1234) == 0)
            let found = try look(file, folder)
            #expect(found.digest == SHA256Digest(of: content(1)))
            if name.isEmpty {
                // The file itself is still this user's. In a folder of another one nothing is written.
                try folder.deletingLastPathComponent().write("b", content(2))
                let other = try look(folder.deletingLastPathComponent().appendingPathComponent("b"), folder)
                let fault = other.tally.fault ?? "nothing is said"
                #expect(other.tally.hashedFiles == 1 && fault.contains("\(folder.path) "), "\(fault)")
                #expect(fault.contains("PATCHLOOM_HOME"), "\(fault)")
            } else {
                #expect(found.tally.hashedFiles == 1)
                #expect(try look(file, folder).tally.hashedFiles == 0)
            }
        }
    }

    @Test(arguments: ["below a file", "a folder in the way", "locked"]) func aMemoryThatCannotBeWrittenStopsNothing(
        reason: String
    ) throws {
        try withFile { file, folder throws in
            var place = folder
            var lock: Int32 = -1
            switch reason {
            case "below a file": place = file.appendingPathComponent("cache")
            case "a folder in the way":
                try folder.write("digests/full", "x")
            default:
                try folder.write("digests.lock", "")
                lock = open(folder.path + "/digests.lock", O_RDWR | O_CLOEXEC)
                #expect(flock(lock, LOCK_EX) == 0)
            }
            let memory = DigestMemory(folder: place.path, clock: later)
            for _ in 0..<3 {
                #expect(try FileBytes(mapping: file.path, digests: memory).digest() == SHA256Digest(of: content(1)))
            }
            // This process knows the file all the same.
            #expect(memory.tally.hashedFiles == 1 && memory.tally.rememberedFiles == 2)
            #expect(memory.tally.fault?.contains(place.path) == true, "\(memory.tally)")
            #expect(memory.tally.lines.count == 2 && memory.tally.lines[1].hasPrefix("warning: "))
            if lock >= 0 { close(lock) }
        }
    }

    @Test func manyWritersLoseNothing() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("patchloom-digests-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let files = (0..<12).map { folder.appendingPathComponent("file-\($0)") }
        for (index, _) in files.enumerated() { try folder.write("file-\(index)", content(UInt64(index))) }
        let cache = folder.appendingPathComponent("cache")
        await withTaskGroup(of: Void.self) { group in
            for file in files {
                // Every look is a process of its own, as far as the file is concerned.
                group.addTask { #expect((try? look(file, cache))?.tally.hashedFiles == 1) }
            }
        }
        for (index, file) in files.enumerated() {
            let found = try look(file, cache)
            #expect(found.tally.hashedFiles == 0 && found.digest == SHA256Digest(of: content(UInt64(index))))
        }
        let names = try FileManager.default.contentsOfDirectory(atPath: cache.path)
        #expect(names.sorted() == ["digests", "digests.lock"])
    }

    @Test func theRemainsOfKilledWritersGo() throws {
        try withFile { file, folder throws in
            try folder.write("digests.1.tmp", "half")
            try folder.write("other.tmp", "another's")
            _ = try look(file, folder)
            let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
            #expect(names.sorted() == ["digests", "digests.lock", "other.tmp"])
        }
    }

    // MARK: Bounds

    private static func record(_ index: Int, used: Int64, digest: UInt8 = 0) -> DigestRecords.Record {
        let place = FileStamp.Place(device: .max, inode: UInt64(index))
        return DigestRecords.Record(
            stamp: FileStamp(place: place, size: 1 << 40, modified: -1, changed: Int64(index)),
            digest: SHA256Digest(of: [digest, UInt8(truncatingIfNeeded: index)]), used: used)
    }

    @Test func theLeastRecentlyUsedGo() {
        var records = DigestRecords(limit: 16)
        // The first file is used again and again. A use after now is a mistake of the clock.
        records.put(Self.record(1000, used: .max))
        for index in 1..<100 {
            records.put(Self.record(index, used: Int64(index)))
            records.put(Self.record(0, used: Int64(index)))
            #expect(records.count <= 16)
        }
        #expect(records[Self.record(0, used: 0).stamp.place]?.used == 99)
        #expect(records[Self.record(99, used: 0).stamp.place] != nil)
        for gone in [1, 50, 1000] { #expect(records[Self.record(gone, used: 0).stamp.place] == nil) }
    }

    @Test func aUseIsNotedOnceADay() throws {
        try withFile { file, folder throws in
            let start = FileStamp.now() + hour
            func used() -> Int64? {
                FileStamp(path: file.path).flatMap { CacheFile<DigestRecords>(folder: folder.path).read()[$0.place]?.used }
            }
            _ = try look(file, folder) { start }
            for (time, expected) in [(23 * hour, 0), (24 * hour, 24 * hour), (25 * hour, 24 * hour), (hour, hour)] {
                #expect(try look(file, folder) { start + time }.tally.hashedFiles == 0)
                #expect(used() == start + expected)
            }
        }
    }

    // MARK: Reading again

    /// Puts a wrong hash under the stamp of a file, as if the file had changed without anybody noticing.
    private func deceive(_ file: URL, _ folder: URL) throws {
        let stamp = try #require(FileStamp(path: file.path))
        _ = try CacheFile<DigestRecords>(folder: folder.path).change {
            $0.put(DigestRecords.Record(stamp: stamp, digest: SHA256Digest(of: [1, 2, 3]), used: later()))
        }
    }

    @Test(arguments: [true, false]) func readingAgainCorrectsTheMemory(isSettled: Bool) throws {
        try withFile { file, folder throws in
            try deceive(file, folder)
            #expect(try look(file, folder).digest == SHA256Digest(of: [1, 2, 3]))
            let checked = try look(file, folder, rereads: true) { isSettled ? later() : 0 }
            #expect(checked.digest == SHA256Digest(of: content(1)) && checked.tally.contradicted.map(\.path) == [file.path])
            #expect(checked.tally.contradicted.first?.remembered == SHA256Digest(of: [1, 2, 3]))
            #expect(checked.tally.contradicted.first?.found == SHA256Digest(of: content(1)))
            let after = try look(file, folder)
            #expect(after.digest == SHA256Digest(of: content(1)) && after.tally.hashedFiles == (isSettled ? 0 : 1))
            let again = try look(file, folder, rereads: true)
            #expect(again.tally.hashedFiles == 1 && again.tally.contradicted.isEmpty)
        }
    }

    /// The bytes decide, not the stamp: a stored model with a changed byte under a known stamp is found by `verify`.
    @Test func verifyFindsAChangedByteUnderAnEqualStamp() throws {
        try withTemporaryFolder { folder throws in
            let cache = folder.appendingPathComponent("cache")
            func store() -> ModelStore {
                ModelStore(folder: folder.path + "/store", digests: DigestMemory(folder: cache.path, clock: later))
            }
            let model = Fixtures.folder.appendingPathComponent("golden/models/tiny-sd15")
            let stored = try store().importModel(ModelChoice(path: model.path), name: "tiny")
            let first = store()
            try first.verify(stored)
            #expect(try first.open(stored).identity() == stored.identity && first.digests?.tally.hashedBytes ?? 0 < size)
            #expect(first.digests?.tally.rememberedFiles == 4)
            let blobs = try FileManager.default.contentsOfDirectory(atPath: first.blobs)
            let large = try blobs.filter { try Data(contentsOf: URL(fileURLWithPath: "\(first.blobs)/\($0)")).count >= size }
            #expect(large.count == 4, "the weights")
            for blob in large {
                let url = URL(fileURLWithPath: "\(first.blobs)/\(blob)")
                let content = [UInt8](try Data(contentsOf: url))
                nextTick()
                #expect(chmod(url.path, 0o644) == 0)
                try Data(content.dropLast() + [content[content.count - 1] ^ 1]).write(to: url)
                // A new stamp is seen at once.
                #expect(weightsError { _ = try store().open(stored) }?.code == .malformed)
                let stamp = try #require(FileStamp(path: url.path))
                _ = try CacheFile<DigestRecords>(folder: cache.path).change {
                    $0.put(DigestRecords.Record(stamp: stamp, digest: SHA256Digest(of: content), used: later()))
                }
                // This is the limit of stamps: nothing shows the change.
                #expect(try store().open(stored).identity() == stored.identity)
                let damages = try store().damages(of: stored)
                #expect(damages.isEmpty, "the stamp hides the damage: \(damages)")
                let rereading = ModelStore(
                    folder: folder.path + "/store",
                    digests: DigestMemory(folder: folder.path + "/unused", rereads: true, clock: later))
                let found = try rereading.damages(of: stored)
                #expect(found.map(\.file) == [url.path] && found[0].expected.hex == blob, "\(found)")
                #expect(try found[0].found == SHA256Digest(of: [UInt8](Data(contentsOf: url))))
                // The files that the opening has read are not read again to say which are damaged.
                let check = ModelStore(folder: folder.path + "/store", digests: DigestMemory(folder: nil, rereads: true))
                #expect(weightsError { _ = try check.open(stored) }?.code == .malformed)
                #expect(try check.damages(of: stored) == found)
                #expect(check.digests?.tally.hashedBytes == stored.byteCount)
                #expect(try check.damages(of: stored) == found && check.digests?.tally.hashedBytes == stored.byteCount)
                let error = weightsError { try store().verify(stored) }
                #expect(error?.code == .malformed && error?.message.contains(blob) == true, "\(String(describing: error))")
                #expect(weightsError { _ = try store().open(stored) }?.code == .malformed)
                // Importing again mends the file, even if the memory has another hash for it.
                try deceive(url, cache)
                #expect(try store().importModel(ModelChoice(path: model.path), name: "tiny") == stored)
                try store().verify(stored)
            }
        }
    }

    /// The identity is the same from memory, and a second opening hashes none of the weights.
    @Test(arguments: ["tiny-sd15", "tiny-sd21", "tiny-sdxl"]) func identitiesAreRemembered(name: String) throws {
        try withTemporaryFolder { folder throws in
            var choice = ModelChoice(path: Fixtures.folder.appendingPathComponent("golden/models/\(name)").path)
            let identity = try ModelSource.open(choice).identity()
            var tallies: [DigestMemory.Tally] = []
            for _ in 0..<2 {
                let memory = DigestMemory(folder: folder.path, clock: later)
                choice.digests = memory
                #expect(try ModelSource.open(choice).identity() == identity)
                tallies.append(memory.tally)
            }
            #expect(tallies[0].rememberedFiles == 0 && tallies[1].rememberedFiles > 0)
            #expect(tallies[0].hashedBytes == tallies[1].hashedBytes + tallies[1].rememberedBytes)
            // Only small files are left.
            #expect(tallies[1].hashedFiles == tallies[0].hashedFiles - tallies[1].rememberedFiles)
            #expect(tallies[1].hashedBytes < tallies[1].hashedFiles * size)
        }
    }
}
