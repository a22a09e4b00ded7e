import TensorCore
import TestSupport
import Testing
import Weights

@Suite struct WeightScopeTests {
    private func withScope<Value>(_ body: (WeightScope) throws -> Value) throws -> Value {
        let bytes = safetensors([
            f32("down.0.conv.weight", [1, 2], shape: [2, 1]), f32("down.0.conv.bias", [3, 4], shape: [2]),
            f32("down.10.conv.bias", [5], shape: [1]), ("text.position_ids", "I64", [1], [UInt8](repeating: 0, count: 8)),
            f32("none", [], shape: [0]),
        ])
        return try withFile(bytes) { try body(WeightScope($0)) }
    }

    @Test func pathsAreWalked() throws {
        try withScope { weights throws in
            let convolution = weights["down"][0]["conv"]
            #expect(convolution.path == "down.0.conv")
            #expect(try convolution.tensor("weight", shape: [2, 1]).array == [1, 2])
            #expect(try weights["down.10"].tensor("conv.bias", shape: [1]).array == [5])
            #expect(convolution.contains("bias") && !convolution.contains("scale"))
            #expect(convolution.shape(of: "weight") == [2, 1])
            #expect(convolution.shape(of: "scale") == nil)
        }
    }

    @Test func missingAndMisshapenTensorsAreNamed() throws {
        try withScope { weights throws in
            let convolution = weights["down"][0]["conv"]
            let missing = try #require(weightsError { _ = try convolution.tensor("scale", shape: [7]) })
            #expect(
                missing.code == .missingTensor && missing.message.contains("down.0.conv.scale")
                    && missing.message.contains("[7]"))
            let shape = try #require(weightsError { _ = try convolution.tensor("weight", shape: [1, 2]) })
            #expect(shape.code == .misshapenTensor)
            #expect(
                shape.message.contains("[2, 1]") && shape.message.contains("[1, 2]")
                    && shape.message.contains("test.safetensors"))
            #expect(weightsError { _ = try weights.tensor("none", shape: [0]) }?.code == .misshapenTensor)
            #expect(weightsError { _ = try weights.tensor("none", shape: [-1]) }?.code == .misshapenTensor)
            #expect(weightsError { _ = try weights.tensor("none", shape: [Int.max, Int.max]) }?.code == .misshapenTensor)
            #expect(weightsError { _ = try weights.tensor("text.position_ids", shape: [1]) }?.code == .unsupportedElementType)
        }
    }

    @Test func leftOverTensorsAreNamed() throws {
        try withScope { weights throws in
            let error = try #require(weightsError { try weights.requireAllConsumed() })
            #expect(error.code == .unusedTensors)
            #expect(error.message.contains("down.10.conv.bias") && !error.message.contains("position_ids"))
            _ = try weights.tensor("down.0.conv.weight", shape: [2, 1])
            _ = try weights.tensor("down.0.conv.bias", shape: [2])
            try weights["down"][0].requireAllConsumed()
            // "down.1" is not the parent of "down.10".
            try weights["down"][1].requireAllConsumed()
            #expect(weightsError { try weights["down"].requireAllConsumed() }?.message.contains("down.10.conv.bias") == true)
            // With the remedies behind it.
            let one = "test.safetensors holds 1 tensor (\"down.10.conv.bias\") that the network does not know; leave it out by "
            let alone = weightsError { try weights.requireAllConsumed(ignoring: ["position_ids", "none"]) }
            #expect(alone?.message.hasPrefix(one + "--ignore-unknown-tensors or, ") == true, "\(alone as Any)")
            try weights.requireAllConsumed(ignoring: ["down.10.", "position_ids", "none"])
            #expect(weightsError { try weights.requireAllConsumed(ignoring: ["down.10.", "none"]) } != nil)
        }
    }

    /// The notes say what a network leaves out because the user wants it so.
    @Test func leftOutTensorsAreNoted() throws {
        try withScope { weights throws in
            #expect(
                weights.unknownNote(ignoring: ["down.0.", "position_ids", "none"])
                    == "test.safetensors holds 1 tensor (\"down.10.conv.bias\") that the network does not know; it is left out")
            #expect(
                weights.unknownNote(ignoring: ["down.10.", "position_ids", "none"])
                    == "test.safetensors holds 2 tensors (\"down.0.conv.bias\", \"down.0.conv.weight\") that the network does "
                    + "not know; they are left out")
            #expect(weights.unknownNote(ignoring: ["down.", "position_ids", "none"]) == nil)
        }
    }

    /// A failed request is not a use.
    @Test func refusedTensorsStayLeftOver() throws {
        try withScope { weights throws in
            _ = weightsError { _ = try weights.tensor("down.10.conv.bias", shape: [2]) }
            #expect(weightsError { try weights["down"][10].requireAllConsumed() } != nil)
        }
    }
}

@Suite struct RandomWeightSourceTests {
    @Test func valuesHaveTheStatedSpreadAndDependOnSeedAndPath() throws {
        let weights = WeightScope(RandomWeightSource(seed: 1))["conv"]
        let values = try weights.tensor("weight", shape: [40, 16, 5, 5]).array
        let count = Double(values.count)
        let mean = values.reduce(0) { $0 + Double($1) } / count
        let spread = (values.reduce(0) { $0 + Double($1) * Double($1) } / count).squareRoot()
        #expect(abs(mean) < 0.001)
        #expect(abs(spread - 1 / 20) < 0.001)
        #expect(try weights.tensor("weight", shape: [40, 16, 5, 5]).array == values)
        #expect(try weights.tensor("other", shape: [40, 16, 5, 5]).array != values)
        #expect(try WeightScope(RandomWeightSource(seed: 2))["conv"].tensor("weight", shape: [40, 16, 5, 5]).array != values)
        #expect(try weights.tensor("bias", shape: [3]).array == [0, 0, 0])
        #expect(try weights.tensor("weight", shape: [3]).array == [1, 1, 1])
        try weights.requireAllConsumed()
    }

    @Test func impossibleShapesAreRefused() {
        let source = RandomWeightSource(seed: 1)
        for shape in [[0, 2], [-1], [Int.max, Int.max], [1 << 20, 1 << 20]] {
            #expect(weightsError { _ = try source.tensor("w", shape: shape) }?.code == .misshapenTensor)
        }
        #expect(!source.contains("w"))
        #expect(RandomWeightSource(seed: 1, contains: { $0 == "w" }).contains("w"))
    }
}
