import ContentHash
import Foundation
import Sentences
import Synchronization
import TensorCore
import Testing

@testable import Weights

/// A source of numbers that counts how often values are read.
final class CountedSource: WeightSource {
    let name = "test weights"
    let elementCount: Int
    private let tensors: [String: [Float]]
    private let reads = Mutex(0)

    init(seed: Float, elementCount: Int = 1000) {
        self.elementCount = elementCount
        func numbers(_ count: Int) -> [Float] { (0..<count).map { seed + Float($0 % 1009) / 8 } }
        tensors = [
            "norm.weight": numbers(7), "linear.weight": numbers(24 * 40), "conv.weight": numbers(8 * 5 * 9),
            "wide.weight": numbers(32 * 32 * 9),
        ]
    }

    var readCount: Int { reads.withLock { $0 } }
    func contains(_ path: String) -> Bool { tensors[path] != nil }
    func shape(of path: String) -> [Int]? { nil }
    func unusedPaths() -> [String] { [] }
    func check(_ path: String, shape: [Int]) throws(WeightsError) {
        guard tensors[path]?.count == Tensor.elementCount(shape) else { throw .missingTensor("no \(path).") }
    }

    func tensor(_ path: String, shape: [Int]) throws(WeightsError) -> Tensor {
        try check(path, shape: shape)
        reads.withLock { $0 += 1 }
        return Tensor(tensors[path] ?? [], shape: shape)
    }
}

/// A network of three tensors: one as it is, two in a library's order.
struct CountedNetwork: Equatable {
    /// The results of the layers for fixed inputs: they tell whether weights and order are right.
    let results: [[Float]]

    init(_ weights: WeightScope, _ context: ComputeContext) throws {
        let norm = try weights["norm"].tensor("weight", shape: [7])
        let linear = try context.weightFormat(of: .linear(inputs: 40, outputs: 24), type: context.precision)
        let matrix = try weights["linear"].packed("weight", shape: [24, 40], as: linear) { plain throws(ComputeError) in
            try context.pack(context.convertWeights(plain, to: context.precision), into: linear)
        }
        let layer = WeightLayer.convolution(
            inputs: 5, outputs: 8, kernelHeight: 3, kernelWidth: 3, use: ConvolutionUse(side: 6))
        let convolution = try context.weightFormat(of: layer, type: context.precision)
        let kernel = try weights["conv"].packed("weight", shape: [8, 5, 3, 3], as: convolution) { plain throws(ComputeError) in
            try context.pack(context.convertWeights(plain, to: context.precision), into: convolution)
        }
        switch weights.keeper {
        case .measured, .written:
            // A network that is only measured or written never computes.
            results = []
            return
        case .mapped, nil: break
        }
        let rows = Tensor((0..<120).map { Float($0 % 13) }, shape: [3, 40])
        let image = Tensor((0..<180).map { Float($0 % 11) }, shape: [1, 6, 6, 5])
        let product = try context.linear(
            context.convert(rows, to: context.precision), context.linearParameters(matrix, linear, bias: nil))
        let filtered = try context.convolution(
            context.convert(image, to: context.precision), context.convolutionParameters(kernel, convolution, bias: nil))
        results = [norm.array, context.convert(product, to: .f32).array, context.convert(filtered, to: .f32).array]
    }
}

/// Packed weights in a folder of their own.
struct PackedFixture {
    let folder: String
    var limit = 1 << 30
    /// Bytes of the disk on which these files are alone; nil for the real one.
    var disk: Int?
    /// Removes a file, in place of the system.
    var remove: (@Sendable (String) throws(WeightsError) -> Void)?
    let notes = Notes()

    final class Notes: Sendable {
        private let lines = Mutex<[String]>([])
        var all: [String] { lines.withLock { $0 } }
        func add(_ line: String) { lines.withLock { $0.append(line) } }
    }

    init(_ folder: URL) { self.folder = folder.appendingPathComponent("store/packed").path }

    static func key(_ model: String = "model", network: String = "unet", context: ComputeContext) -> PackedKey {
        PackedKey(
            model: SHA256Digest(of: Array(model.utf8)), network: network, precision: "\(context.precision)",
            library: context.packingClass)
    }

    func packed(smallest: Int = 1) -> PackedWeights {
        var place = PackedFolder(path: folder)
        if let remove { place.remove = remove }
        if let disk { place.freeBytes = { disk - Self.usedBytes($0) } }
        return PackedWeights(place, limit: limit, threads: 2, smallest: smallest) { [notes] in notes.add($0) }
    }

    private static func usedBytes(_ folder: String) -> Int {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.reduce(0) { sum, name in
            sum + ((try? FileManager.default.attributesOfItem(atPath: "\(folder)/\(name)"))?[.size] as? Int ?? 0)
        }
    }

    /// The network that a new worker gets.
    func network(
        _ source: CountedSource, _ key: PackedKey, _ context: ComputeContext
    ) throws -> (network: CountedNetwork, isMapped: Bool) {
        try packed().network(key, of: context.precision, weights: { WeightScope(source) }) {
            try CountedNetwork($0, context)
        }
    }

    /// The size of a key's file that is known before the file is made.
    func fileBytes(_ key: PackedKey, build: (WeightScope) throws -> Void) throws -> Int {
        let (measure, source) = (PackedMeasure(), CountedSource(seed: 0))
        try build(WeightScope(source).kept(by: .measured(measure)))
        #expect(source.readCount == 0)
        return measure.fileBytes(key.text)
    }

    var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted() }

    func path(_ key: PackedKey) -> String { "\(folder)/\(key.fileName)" }

    func content(_ key: PackedKey) throws -> [UInt8] { try [UInt8](Data(contentsOf: URL(fileURLWithPath: path(key)))) }

    /// Puts other bytes into the file, as its owner.
    func replace(_ key: PackedKey, _ content: [UInt8]) throws {
        try Data(content).write(to: URL(fileURLWithPath: path(key)))
        #expect(chmod(path(key), 0o600) == 0)
    }
}

/// Three files, the first of which was unused for longest, and their sizes.
func withThreeFiles(_ body: (PackedFixture, ComputeContext, [PackedKey], [Int]) throws -> Void) throws {
    let context = try ComputeContext(backend: .auto, threads: 1)
    try withTemporaryFolder { folder throws in
        let fixture = PackedFixture(folder)
        let keys = ["a", "b", "c"].map { PackedFixture.key($0, context: context) }
        for (index, key) in keys.enumerated() {
            _ = try fixture.network(CountedSource(seed: Float(index)), key, context)
        }
        let sizes = try keys.map { try fixture.content($0).count }
        // Reading the files was a use of them.
        for (index, key) in keys.enumerated() { setLastUse(fixture.path(key), seconds: 1_000_000 + index) }
        try body(fixture, context, keys, sizes)
    }
}

func setLastUse(_ path: String, seconds: Int) {
    let times = [timespec(tv_sec: seconds, tv_nsec: 0), timespec(tv_sec: 0, tv_nsec: PackedFolder.unchangedTime)]
    #expect(utimensat(AT_FDCWD, path, times, 0) == 0)
}
