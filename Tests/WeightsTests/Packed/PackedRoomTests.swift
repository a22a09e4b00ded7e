import Foundation
import TensorCore
import TestSupport
import Testing

@testable import Weights

/// The room that packed weights take: full disks, files in use, and sizes that are known beforehand.
@Suite struct PackedRoomTests {
    // MARK: A full disk

    /// A disk with a number of bytes beside those that must stay free, and the files on it after a fourth network.
    ///
    /// - Parameter bytes: gives the number from the sizes of the three files and the size of the new one.
    private func onDisk(
        of bytes: ([Int], Int) -> Int, limit: ([Int]) -> Int = { _ in 1 << 30 },
        _ body: (PackedFixture, [String], _ isMapped: Bool) throws -> Void
    ) throws {
        try withThreeFiles { fixture, context, keys, sizes throws in
            let key = PackedFixture.key("d", context: context)
            let new = try fixture.fileBytes(key) { _ = try CountedNetwork($0, context) }
            var small = fixture
            small.disk = PackedWeights.reserve + bytes(sizes, new)
            small.limit = limit(sizes)
            let result = try small.network(CountedSource(seed: 4), key, context)
            if result.isMapped { #expect(fixture.notes.all.isEmpty, "\(fixture.notes.all)") }
            #expect(try result.network == CountedNetwork(WeightScope(CountedSource(seed: 4)), context))
            try body(fixture, (keys + [key]).map(\.fileName), result.isMapped)
        }
    }

    @Test func aFullDiskLosesTheLongestUnusedFiles() throws {
        // Room for all, for all but the first, for all but the first two, for the new one alone.
        let disks: [(bytes: ([Int], Int) -> Int, gone: Int)] = [
            ({ $0.reduce($1, +) }, 0), ({ $0.reduce($1 - 1, +) }, 1), ({ $0[2] + $1 }, 2), ({ $1 }, 3),
        ]
        for disk in disks {
            try onDisk(of: disk.bytes) { fixture, names, isMapped throws in
                #expect(isMapped && Set(fixture.names) == Set(names.dropFirst(disk.gone)), "\(disk.gone)")
            }
        }
    }

    @Test func aDiskThatIsTooSmallAnywayLosesNothing() throws {
        // Without a limit, with one for three files, and with one for a single file.
        let limits: [([Int]) -> Int] = [{ _ in 1 << 30 }, { $0.reduce(0, +) }, { $0[0] * 3 / 2 }]
        for limit in limits {
            try onDisk(of: { $1 - 1 }, limit: limit) { fixture, names, isMapped throws in
                #expect(!isMapped && Set(fixture.names) == Set(names.dropLast()))
                #expect(fixture.notes.all.count == 1 && fixture.notes.all[0].contains("must leave"), "\(fixture.notes.all)")
            }
        }
    }

    /// A slow file system gives no space back at once. Then no more files go than should have done.
    @Test func filesThatGiveNothingBackDoNotTakeOthersAlong() throws {
        try withThreeFiles { fixture, _, keys, sizes throws in
            var folder = PackedFolder(path: fixture.folder)
            folder.freeBytes = { _ in 100 }
            #expect(try folder.makeRoom(for: sizes[0], limit: .max, reserve: 100) == .disk(free: 100))
            #expect(Set(fixture.names) == Set(keys.dropFirst().map(\.fileName)))
            folder.freeBytes = { _ in nil }
            #expect(try folder.makeRoom(for: 1 << 60, limit: .max, reserve: .max) == nil)
            #expect(fixture.names.count == 2)
        }
    }

    // MARK: Files in use

    /// A disk that has 100 bytes free and gets back the space of removed files, except that of one file that is mapped.
    private func freeBytes(_ fixture: PackedFixture, _ keys: [PackedKey], _ sizes: [Int]) -> @Sendable (String) -> Int? {
        let files = zip(keys.map(fixture.path), sizes).map { ($0, $1) }
        return { _ in
            files.reduce(100) { $0 + (FileManager.default.fileExists(atPath: $1.0) ? 0 : $1.1) }
        }
    }

    /// A full disk may need room any number of times: a file that a worker has mapped gives none, and no other file goes in its
    /// place.
    @Test func mappedFilesStayOnAFullDisk() throws {
        try withThreeFiles { fixture, _, keys, sizes throws in
            var folder = PackedFolder(path: fixture.folder)
            folder.freeBytes = freeBytes(fixture, Array(keys.dropFirst()), Array(sizes.dropFirst()))
            let reader = try PackedReader(path: fixture.path(keys[0]), key: keys[0].text, threads: 1)
            setLastUse(fixture.path(keys[0]), seconds: 1)
            try withExtendedLifetime(reader) {
                for _ in 0..<2 {
                    #expect(try folder.makeRoom(for: sizes[1], limit: .max, reserve: 100) == nil)
                    #expect(Set(fixture.names) == Set([keys[0], keys[2]].map(\.fileName)))
                }
                for _ in 0..<2 {
                    let shortage = try folder.makeRoom(for: sizes[1] + sizes[2] + 1, limit: .max, reserve: 100)
                    #expect(shortage == .disk(free: 100 + sizes[1]))
                    #expect(Set(fixture.names) == Set([keys[0], keys[2]].map(\.fileName)))
                }
            }
        }
    }

    @Test func aFileThatNobodyHasMappedAnyMoreGivesItsSpace() throws {
        try withThreeFiles { fixture, _, keys, sizes throws in
            var folder = PackedFolder(path: fixture.folder)
            folder.freeBytes = freeBytes(fixture, keys, sizes)
            var reader: PackedReader? = try PackedReader(path: fixture.path(keys[0]), key: keys[0].text, threads: 1)
            setLastUse(fixture.path(keys[0]), seconds: 1)
            #expect(reader != nil)
            reader = nil
            #expect(try folder.makeRoom(for: sizes[0], limit: .max, reserve: 100) == nil)
            #expect(Set(fixture.names) == Set(keys.dropFirst().map(\.fileName)))
        }
    }

    /// A file under way will fill the size that it has: the disk shows these bytes as free until then.
    @Test func filesUnderWayKeepTheirPartOfTheDisk() throws {
        try withThreeFiles { fixture, _, _, _ throws in
            var folder = PackedFolder(path: fixture.folder)
            folder.freeBytes = { _ in 3 << 20 }
            let unfinished = try #require(try folder.begin("\(fixture.folder)/other\(PackedFolder.ending)"))
            defer { unfinished.discard() }
            #expect(try folder.makeRoom(for: 1 << 20, limit: .max, reserve: 0, file: unfinished) == nil)
            #expect(try folder.makeRoom(for: 1 << 20, limit: .max, reserve: 1 << 20) == nil)
            #expect(try folder.makeRoom(for: 2 << 20, limit: .max, reserve: 1 << 20) == .disk(free: 2 << 20))
        }
    }

    /// The lock belongs to the mapping: a worker keeps tensors, and none of the objects that read the file.
    @Test func aFileIsInUseAsLongAsOneOfItsTensors() throws {
        try withThreeFiles { fixture, _, keys, _ throws in
            let path = fixture.path(keys[1])
            #expect(FileLock.exclusive(path) != nil)
            var tensors = try (0..<2).map { _ in
                try fixture.packed().network(keys[1], of: .f32, weights: { WeightScope(CountedSource(seed: 1)) }) { scope in
                    try scope["norm"].tensor("weight", shape: [7])
                }
            }
            #expect(tensors.count { $0.isMapped } == 2)
            while !tensors.isEmpty {
                #expect(FileLock.exclusive(path) == nil, "\(tensors.count) tensors")
                tensors.removeLast()
            }
            #expect(FileLock.exclusive(path) != nil)
            // A look at a file is no use of it.
            let (content, _) = try PackedReader.content(path, isUse: false)
            withExtendedLifetime(content) { #expect(FileLock.exclusive(path) != nil) }
        }
    }

    @Test func filesInUseFillTheLimit() throws {
        try withThreeFiles { fixture, context, keys, sizes throws in
            var narrow = fixture
            narrow.limit = sizes.reduce(sizes[0] / 2, +)
            let new = PackedFixture.key("d", context: context)
            var readers = try keys.map { try PackedReader(path: fixture.path($0), key: $0.text, threads: 1) }
            for (index, key) in keys.enumerated() { setLastUse(fixture.path(key), seconds: index + 1) }
            let plain = try CountedNetwork(WeightScope(CountedSource(seed: 4)), context)
            let refused = try narrow.network(CountedSource(seed: 4), new, context)
            #expect(!refused.isMapped && refused.network == plain && Set(fixture.names) == Set(keys.map(\.fileName)))
            #expect(fixture.notes.all.count == 1 && fixture.notes.all[0].contains("in use"), "\(fixture.notes.all)")
            // The last one is free now, and the longest unused one is not.
            readers.removeLast()
            let added = try withExtendedLifetime(readers) { try narrow.network(CountedSource(seed: 4), new, context) }
            #expect(added.isMapped && added.network == plain)
            #expect(Set(fixture.names) == Set([keys[0], keys[1], new].map(\.fileName)))
        }
    }

    /// Workers that make room at the same time do not take each other for users of the old files.
    @Test func severalMakeRoomAtTheSameTime() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("patchloom-weights-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        var fixture = PackedFixture(folder)
        let context = try ComputeContext(backend: .auto, threads: 1)
        let (old, new) = (["a", "b", "c"], ["d", "e", "f"])
        for name in old {
            let key = PackedFixture.key(name, context: context)
            #expect(try fixture.network(CountedSource(seed: 1), key, context).isMapped)
            fixture.limit = try fixture.content(key).count * 7 / 2
            setLastUse(fixture.path(key), seconds: 1_000_000)
        }
        let narrow = fixture
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for name in new {
                group.addTask {
                    let context = try ComputeContext(backend: .auto, threads: 1)
                    let key = PackedFixture.key(name, context: context)
                    return try narrow.network(CountedSource(seed: 1), key, context).isMapped
                }
            }
            for try await isMapped in group { #expect(isMapped, "\(narrow.notes.all)") }
        }
        #expect(narrow.names == new.map { PackedFixture.key($0, context: context).fileName }.sorted())
    }

    // MARK: Sizes

    @Test(arguments: PackedWeightsTests.contexts) func theSizeIsKnownBeforeTheFile(
        _ backend: BackendChoice, _ precision: PrecisionChoice
    ) throws {
        try needs((try? precision.resolved(backend)) != nil, "\(precision) of \(backend)")
        let context = try ComputeContext(backend: backend, threads: 1, precision: precision)
        try withTemporaryFolder { folder throws in
            let fixture = PackedFixture(folder)
            let key = PackedFixture.key(context: context)
            let bytes = try fixture.fileBytes(key) { _ = try CountedNetwork($0, context) }
            #expect(try fixture.network(CountedSource(seed: 1), key, context).isMapped)
            // One checksum, of one to ten digits.
            #expect(try (0...9).contains(bytes - fixture.content(key).count))
        }
    }

    /// Orders with more numbers than the weights have: a disk that would hold the numbers alone is too small.
    @Test func anOrderThatNeedsMoreThanTheNumbersIsCounted() throws {
        let context = try ComputeContext(backend: .auto, threads: 1, precision: .f32)
        let use = ConvolutionUse(side: 32, isFixed: true)
        let layer = WeightLayer.convolution(inputs: 32, outputs: 32, kernelHeight: 3, kernelWidth: 3, use: use)
        let format = try context.weightFormat(of: layer, type: .f32)
        func build(_ weights: WeightScope) throws {
            _ = try weights["wide"].packed("weight", shape: [32, 32, 3, 3], as: format) { plain throws(ComputeError) in
                try context.pack(plain, into: format)
            }
        }
        for (missing, isMapped) in [(0, true), (1, false)] {
            try withTemporaryFolder { folder throws in
                var fixture = PackedFixture(folder)
                let key = PackedFixture.key(context: context)
                let bytes = try fixture.fileBytes(key, build: build)
                #expect(bytes > PackedForm.dataOffset + format.byteCount)
                fixture.disk = PackedWeights.reserve + bytes - missing
                let source = CountedSource(seed: 1, elementCount: 32 * 32 * 9)
                let result = try fixture.packed().network(
                    key, of: .f32, weights: { WeightScope(source) }, build: build)
                #expect(result.isMapped == isMapped, "\(fixture.notes.all)")
                #expect(source.readCount == 1 && fixture.names == (isMapped ? [key.fileName] : []))
                if isMapped { #expect(try (0...9).contains(bytes - fixture.content(key).count)) }
            }
        }
    }

    /// While a file is written, others count all of it.
    @Test func aFileUnderWayHasItsWholeSize() throws {
        try withThreeFiles { fixture, context, _, _ throws in
            let key = PackedFixture.key("d", context: context)
            let bytes = try fixture.fileBytes(key) { _ = try CountedNetwork($0, context) }
            var sizes: [Int] = []
            let result = try fixture.packed().network(key, of: .f32, weights: { WeightScope(CountedSource(seed: 4)) }) {
                scope in
                if case .written = scope.keeper {
                    var status = stat()
                    #expect(stat(fixture.path(key) + ".tmp", &status) == 0)
                    sizes.append(Int(status.st_size))
                }
                return try CountedNetwork(scope, context)
            }
            #expect(result.isMapped && sizes == [bytes])
        }
    }
}
