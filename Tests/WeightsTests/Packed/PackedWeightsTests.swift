import Foundation
import StrictJSON
import TensorCore
import TestSupport
import Testing

@testable import Weights

/// Files of packed weights: the same numbers as without them, whatever happens to the files.
@Suite struct PackedWeightsTests {
    static let contexts = BackendChoice.arithmetics

    private static func context(_ backend: BackendChoice, _ precision: PrecisionChoice) throws -> ComputeContext {
        try needs((try? precision.resolved(backend)) != nil, "\(precision) of \(backend)")
        return try ComputeContext(backend: backend, threads: 2, precision: precision)
    }

    private func context() throws -> ComputeContext { try ComputeContext(backend: .auto, threads: 2) }

    @Test(arguments: contexts) func aNetworkFromAFileIsTheSame(_ backend: BackendChoice, _ precision: PrecisionChoice) throws {
        let context = try Self.context(backend, precision)
        try withTemporaryFolder { folder throws in
            let fixture = PackedFixture(folder)
            let key = PackedFixture.key(context: context)
            let plain = try CountedNetwork(WeightScope(CountedSource(seed: 1)), context)
            // The worker that makes the file has its weights from there, too.
            let first = try fixture.network(CountedSource(seed: 1), key, context)
            #expect(first.isMapped && first.network == plain)
            #expect(fixture.names == [key.fileName])
            let source = CountedSource(seed: 1)
            let second = try fixture.network(source, key, context)
            #expect(second.isMapped && second.network == plain)
            #expect(source.readCount == 0)
            #expect(fixture.notes.all.isEmpty, "\(fixture.notes.all)")
        }
    }

    @Test func keysDifferInEachOfTheirParts() throws {
        let context = try context()
        var other = PackedFixture.key(context: context)
        other.library = "another version"
        var precise = PackedFixture.key(context: context)
        precise.precision = "f64"
        let keys = [
            PackedFixture.key(context: context), PackedFixture.key("model and LoRA", context: context),
            PackedFixture.key(network: "vae-decoder", context: context), other, precise,
        ]
        #expect(Set(keys.map(\.fileName)).count == keys.count)
    }

    @Test func missingTensorsAreStillFound() throws {
        let context = try context()
        try withTemporaryFolder { folder throws in
            let fixture = PackedFixture(folder)
            let key = PackedFixture.key(context: context)
            for _ in 0..<2 {
                let error = weightsError {
                    let weights = { WeightScope(CountedSource(seed: 1)) }
                    _ = try fixture.packed().network(key, of: .f32, weights: weights) { scope in
                        _ = try CountedNetwork(scope, context)
                        _ = try scope.tensor("missing", shape: [3])
                    }
                }
                #expect(error?.code == .missingTensor)
                // Nothing half-made stays.
                #expect(fixture.names == [])
            }
        }
    }

    @Test func aFileThatLacksATensorIsMadeAnew() throws {
        let context = try context()
        try withTemporaryFolder { folder throws in
            let fixture = PackedFixture(folder)
            let key = PackedFixture.key(context: context)
            _ = try fixture.packed().network(key, of: .f32, weights: { WeightScope(CountedSource(seed: 1)) }) { scope in
                _ = try scope.tensor("norm.weight", shape: [7])
            }
            let result = try fixture.network(CountedSource(seed: 1), key, context)
            #expect(result.isMapped)
            #expect(try result.network == CountedNetwork(WeightScope(CountedSource(seed: 1)), context))
            #expect(fixture.notes.all.count == 1 && fixture.notes.all[0].contains("do not fit"), "\(fixture.notes.all)")
        }
    }

    @Test func smallNetworksStayInMemory() throws {
        let context = try context()
        try withTemporaryFolder { folder throws in
            let fixture = PackedFixture(folder)
            let source = CountedSource(seed: 1, elementCount: 100)
            let result = try fixture.packed(smallest: 401).network(
                PackedFixture.key(context: context), of: .f32, weights: { WeightScope(source) }
            ) { try CountedNetwork($0, context) }
            #expect(!result.isMapped && fixture.names == [])
            #expect(!FileManager.default.fileExists(atPath: fixture.folder))
        }
    }

    // MARK: Damaged and foreign files

    /// The damages that are done to a good file. The second argument is a file of another model.
    static let damages: [(name: String, change: @Sendable ([UInt8], [UInt8]) -> [UInt8])] = [
        ("empty", { _, _ in [] }),
        ("cut by a byte", { good, _ in Array(good.dropLast()) }),
        ("cut inside its tensors", { good, _ in Array(good.prefix(5000)) }),
        ("cut inside its prologue", { good, _ in Array(good.prefix(47)) }),
        ("a byte longer", { good, _ in good + [0] }),
        ("one bit of a tensor", { good, _ in changed(good, at: 4096) }),
        ("one bit of the last tensor", { good, _ in changed(good, at: Int(headOffset(good)) - 1) }),
        ("one bit of a gap", { good, _ in changed(good, at: 4096 + 7 * 4 + 1) }),
        ("one bit of the head", { good, _ in changed(good, at: Int(headOffset(good)) + 9) }),
        ("another magic", { good, _ in changed(good, at: 0) }),
        ("another version", { good, _ in changed(good, at: 8) }),
        ("text", { _, _ in Array(repeating: UInt8(ascii: "x"), count: 9000) }),
        ("another model's", { _, other in other }),
        ("a head beyond the file", { good, _ in withPrologue(good) { $0.headOffset = .max } }),
        ("a head before the tensors", { good, _ in withPrologue(good) { $0.headOffset = 48 } }),
        ("a head of no size", { good, _ in withPrologue(good) { $0.headBytes = 0 } }),
        ("a head of a huge size", { good, _ in withPrologue(good) { $0.headBytes = UInt64(Int.max) } }),
        ("tensors beyond the file", { good, _ in withHead(good) { $0.entries[0].byteCount = 1 << 40 } }),
        ("tensors at the end of numbers", { good, _ in withHead(good) { $0.entries[1].offset = Int.max - 63 } }),
        ("tensors that overlap", { good, _ in withHead(good) { $0.entries[1].offset = $0.entries[0].offset } }),
        ("tensors inside the prologue", { good, _ in withHead(good) { $0.entries[0].offset = 64 } }),
        ("tensors at odd places", { good, _ in withHead(good) { $0.entries[2].offset += 4 } }),
        ("tensors of no size", { good, _ in withHead(good) { $0.entries[0].byteCount = 0 } }),
        ("more checksums", { good, _ in withHead(good) { $0.checksums.append(0) } }),
        ("no checksums", { good, _ in withHead(good) { $0.checksums = [] } }),
        ("a wrong checksum", { good, _ in withHead(good) { $0.checksums[0] ^= 1 } }),
        ("another key", { good, _ in withHead(good) { $0.key += " " } }),
        ("no JSON", { good, _ in withHeadText(good) { _ in Array("{".utf8) } }),
        ("deep JSON", { good, _ in withHeadText(good) { _ in Array(repeating: UInt8(ascii: "["), count: 100_000) } }),
    ]

    @Test(arguments: damages.indices) func aDamagedFileIsMadeAnew(_ index: Int) throws {
        let (context, damage) = (try context(), Self.damages[index])
        try withTemporaryFolder { folder throws in
            let fixture = PackedFixture(folder)
            let (key, otherKey) = (PackedFixture.key(context: context), PackedFixture.key("other", context: context))
            let plain = try fixture.network(CountedSource(seed: 1), key, context).network
            _ = try fixture.network(CountedSource(seed: 2), otherKey, context)
            let good = try fixture.content(key)
            let bad = damage.change(good, try fixture.content(otherKey))
            #expect(bad != good)
            try fixture.replace(key, bad)
            let source = CountedSource(seed: 1)
            let result = try fixture.network(source, key, context)
            #expect(result.isMapped && result.network == plain, "\(damage.name)")
            #expect(source.readCount == 3, "\(damage.name) was used")
            #expect(
                fixture.notes.all.count == 1 && fixture.notes.all[0].hasSuffix("they are made anew"), "\(fixture.notes.all)")
            #expect(try fixture.content(key) == good, "\(damage.name)")
        }
    }

    /// Files that others can change, and links that others may have made.
    @Test(arguments: ["group", "others", "link", "owner"]) func filesOfOthersAreNotUsed(_ kind: String) throws {
        let context = try context()
        try withTemporaryFolder { folder throws in
            let fixture = PackedFixture(folder)
            let key = PackedFixture.key(context: context)
            let plain = try fixture.network(CountedSource(seed: 1), key, context).network
            switch kind {
            case "group": #expect(chmod(fixture.path(key), 0o620) == 0)
            case "others": #expect(chmod(fixture.path(key), 0o602) == 0)
            case "owner":
                try needs(geteuid() == 0, "root, and only root gives files away")
                #expect(chown(fixture.path(key), 65534, 65534) == 0)
            default:
                let elsewhere = folder.appendingPathComponent("elsewhere").path
                try FileManager.default.moveItem(atPath: fixture.path(key), toPath: elsewhere)
                try FileManager.default.createSymbolicLink(atPath: fixture.path(key), withDestinationPath: elsewhere)
            }
            let source = CountedSource(seed: 1)
            let result = try fixture.network(source, key, context)
            #expect(result.isMapped && result.network == plain && source.readCount == 3)
            var status = stat()
            #expect(lstat(fixture.path(key), &status) == 0 && status.st_mode == S_IFREG | 0o600 && status.st_uid == geteuid())
        }
    }

    @Test func aFolderInTheFilesPlaceStopsNothing() throws {
        let context = try context()
        try withTemporaryFolder { folder throws in
            let fixture = PackedFixture(folder)
            let key = PackedFixture.key(context: context)
            try FileManager.default.createDirectory(atPath: fixture.path(key), withIntermediateDirectories: true)
            let result = try fixture.network(CountedSource(seed: 1), key, context)
            #expect(!result.isMapped)
            #expect(try result.network == CountedNetwork(WeightScope(CountedSource(seed: 1)), context))
            #expect(fixture.names == [key.fileName])
            #expect(fixture.notes.all.contains { $0.contains("each worker's own memory") }, "\(fixture.notes.all)")
        }
    }

    // MARK: Several processes

    /// Builders that start together make one file.
    @Test func onlyOneOfManyBuildersMakesTheFile() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("patchloom-weights-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let fixture = PackedFixture(folder)
        let sources = (0..<6).map { _ in CountedSource(seed: 3) }
        let plain = try CountedNetwork(WeightScope(CountedSource(seed: 3)), context())
        try await withThrowingTaskGroup(of: Void.self) { group in
            for source in sources {
                group.addTask {
                    let context = try ComputeContext(backend: .auto, threads: 1)
                    let key = PackedFixture.key(context: context)
                    let result = try fixture.network(source, key, context)
                    #expect(result.isMapped && result.network == plain)
                }
            }
            try await group.waitForAll()
        }
        #expect(sources.map(\.readCount).sorted() == [0, 0, 0, 0, 0, 3])
        #expect(fixture.names.count == 1 && fixture.notes.all.isEmpty, "\(fixture.names) \(fixture.notes.all)")
    }

    /// An unfinished file of a killed process is written anew. An unfinished file of a living process is waited for.
    @Test func unfinishedFilesBelongToLivingProcesses() throws {
        let context = try context()
        try withTemporaryFolder { folder throws in
            let fixture = PackedFixture(folder)
            let key = PackedFixture.key(context: context)
            try folder.write("store/packed/\(key.fileName).tmp", "half a file")
            let result = try fixture.network(CountedSource(seed: 1), key, context)
            #expect(result.isMapped)
            #expect(fixture.names == [key.fileName])

            let packedFolder = PackedFolder(path: fixture.folder)
            let file = fixture.folder + "/another.packed"
            let writing = try #require(try packedFolder.begin(file))
            #expect(try packedFolder.begin(file) == nil)
            #expect(try packedFolder.removeLeftBehind().isEmpty)
            writing.discard()
            let next = try #require(try packedFolder.begin(file))
            next.discard()
            #expect(fixture.names == [key.fileName])
        }
    }
}

private func changed(_ bytes: [UInt8], at index: Int) -> [UInt8] {
    var bytes = bytes
    bytes[index] ^= 4
    return bytes
}

private func prologue(_ file: [UInt8]) -> PackedPrologue {
    // The test has just made the file.
    file.withUnsafeBytes { PackedPrologue($0)! }
}

private func headOffset(_ file: [UInt8]) -> UInt64 { prologue(file).headOffset }

private func withPrologue(_ file: [UInt8], _ change: (inout PackedPrologue) -> Void) -> [UInt8] {
    var changed = prologue(file)
    change(&changed)
    return changed.bytes() + file.dropFirst(PackedPrologue.byteCount)
}

/// The file with another head, and right checksums of it.
private func withHeadText(_ file: [UInt8], _ change: ([UInt8]) -> [UInt8]) -> [UInt8] {
    let offset = Int(headOffset(file))
    let head = change(Array(file[offset...]))
    return withPrologue(Array(file[..<offset]) + head) {
        $0.headBytes = UInt64(head.count)
        $0.fileBytes = UInt64(offset + head.count)
        $0.headChecksum = crc32c(head)
    }
}

private func withHead(_ file: [UInt8], _ change: (inout PackedHead) -> Void) -> [UInt8] {
    withHeadText(file) { text in
        let limits = PackedForm.headLimits
        // The test has just made the head.
        var head = PackedHead(try! JSONValue(parsing: text, limits: limits), end: Int(headOffset(file)))!
        change(&head)
        return head.json().canonicalBytes()
    }
}
