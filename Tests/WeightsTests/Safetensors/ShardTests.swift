import Foundation
import StrictJSON
import TensorCore
import TestSupport
import Testing
import Weights

/// A component in two shards, with changes.
private func shardedWeights(
    map: [(String, String)] = [
        ("conv_in.a", "m-1.safetensors"), ("conv_in.b", "m-1.safetensors"), ("conv_out.c", "m-2.safetensors"),
    ],
    index: [UInt8]? = nil, files changed: [String: [UInt8]?] = [:]
) throws -> WeightScope {
    let entries = map.map { "\"\($0.0)\":\"\($0.1)\"" }.joined(separator: ",")
    var files: [String: [UInt8]] = [
        "unet/model.safetensors.index.json": index
            ?? Array("{\"metadata\":{\"total_size\":12},\"weight_map\":{\(entries)}}".utf8),
        "unet/m-1.safetensors": safetensors([f32("conv_in.a", [1], shape: [1]), f32("conv_in.b", [2], shape: [1])]),
        "unet/m-2.safetensors": safetensors([f32("conv_out.c", [3], shape: [1])]),
    ]
    for (path, bytes) in changed { files[path] = bytes }
    let permanent = files.mapValues { bytes in
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 64)
        copy.copyBytes(from: bytes)
        return UnsafeRawBufferPointer(copy)
    }
    return try ModelSource.embedded(name: "sharded", files: permanent).weights(component: "unet")
}

@Suite struct ShardTests {
    @Test func tensorsComeFromTheirShards() throws {
        let scope = try shardedWeights()
        #expect(try scope.tensor("conv_in.a", shape: [1]).array == [1])
        #expect(try scope.tensor("conv_out.c", shape: [1]).array == [3])
        #expect(weightsError { try scope.requireAllConsumed() }?.message.contains("\"conv_in.b\"") == true)
        #expect(try scope.tensor("conv_in.b", shape: [1]).array == [2])
        try scope.requireAllConsumed()
    }

    @Test(arguments: [
        "", ".safetensors", "../m-1.safetensors", "sub/m-1.safetensors", "/m-1.safetensors", "m-1.bin", "m 1.safetensors",
        "é.safetensors", "m-1.safetensors ", String(repeating: "m", count: 129) + ".safetensors", "m\\\\u0000.safetensors",
    ])
    func shardNamesArePlain(name: String) {
        #expect(weightsError { _ = try shardedWeights(map: [("conv_in.a", name)]) }?.code == .badPath)
    }

    @Test func indexAndShardsAgreeBothWays() {
        // A tensor of a shard that the index does not name.
        #expect(
            weightsError {
                _ = try shardedWeights(map: [("conv_in.a", "m-1.safetensors"), ("conv_out.c", "m-2.safetensors")])
            }?.code
                == .malformed)
        // A tensor of the index that no shard holds.
        let extra = [
            ("conv_in.a", "m-1.safetensors"), ("conv_in.b", "m-1.safetensors"), ("conv_out.c", "m-2.safetensors"),
            ("d", "m-2.safetensors"),
        ]
        #expect(weightsError { _ = try shardedWeights(map: extra) }?.code == .missingTensor)
        // A tensor in another shard than the index says.
        let moved = [("conv_in.a", "m-1.safetensors"), ("conv_in.b", "m-2.safetensors"), ("conv_out.c", "m-2.safetensors")]
        #expect(weightsError { _ = try shardedWeights(map: moved) }?.code == .malformed)
        // A tensor in two shards.
        let twice = safetensors([f32("conv_out.c", [3], shape: [1]), f32("conv_in.a", [1], shape: [1])])
        #expect(weightsError { _ = try shardedWeights(files: ["unet/m-2.safetensors": twice]) }?.code == .malformed)
        #expect(weightsError { _ = try shardedWeights(files: ["unet/m-2.safetensors": nil]) }?.code == .notFound)
    }

    @Test(arguments: [
        "[]", "{}", "{\"weight_map\":[]}", "{\"weight_map\":{}}", "{\"weight_map\":{\"conv_in.a\":1}}",
        "{\"weight_map\":{\"conv_in.a\":\"m-1.safetensors\",",
        "{\"weight_map\":{\"conv_in.a\":\"m-1.safetensors\",\"conv_in.a\":\"m-1.safetensors\"}}",
        "{\"weight_map\":{\"\u{E9}\":\"m-1.safetensors\",\"e\u{301}\":\"m-1.safetensors\"}}",
    ])
    func badIndexesAreRefused(text: String) {
        #expect(weightsError { _ = try shardedWeights(index: Array(text.utf8)) }?.code == .malformed)
    }

    @Test func theNumberOfShardsIsLimited() {
        let map = (0..<1025).map { ("t\($0)", "s\($0).safetensors") }
        #expect(weightsError { _ = try shardedWeights(map: map) }?.message.contains("more than 1024") == true)
    }

    @Test(arguments: 0..<4) func damagedIndexesAreRefusedOrRead(seed: UInt64) throws {
        let index =
            #"{"metadata":{"total_size":12},"weight_map":{"conv_in.a":"m-1.safetensors","conv_in.b":"m-1.safetensors","conv_out.c":"m-2.safetensors"}}"#
        var generator = SeededGenerator(seed: seed)
        var refused = 0
        for _ in 0..<500 {
            do {
                let scope = try shardedWeights(index: Mutation.mutate(Array(index.utf8), using: &generator))
                #expect(try scope.tensor("conv_in.a", shape: [1]).array == [1])
            } catch is WeightsError { refused += 1 }
        }
        #expect(refused > 250 && refused < 500)
    }

    /// The reference's sharded copy of a model holds the values of the unsharded one, rounded to half precision.
    @Test(.enabled(if: Fixtures.sharedGolden != nil)) func theReferenceModelInShardsEqualsTheWholeOne() throws {
        let models = try #require(Fixtures.sharedGolden).appendingPathComponent("models")
        let whole = try ModelSource.folder(models.appendingPathComponent("tiny-sd15").path)
        let sharded = try ModelSource.folder(models.appendingPathComponent("tiny-sd15-sharded").path)
        for component in ["unet", "vae", "text_encoder"] {
            let (a, b) = (try whole.weights(component: component), try sharded.weights(component: component))
            let names = component == "text_encoder" ? ["text_model.final_layer_norm.weight"] : ["conv_in.weight"]
            for name in names where a.contains(name) {
                let shape = try #require(a.shape(of: name))
                let (x, y) = (try a.tensor(name, shape: shape).array, try b.tensor(name, shape: shape).array)
                #expect(zip(x, y).allSatisfy { abs($0 - $1) <= abs($0) / 1024 + 1e-7 })
            }
        }
        #expect(try whole.identity() != sharded.identity())
    }
}
