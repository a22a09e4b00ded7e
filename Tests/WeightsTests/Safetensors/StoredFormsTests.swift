import Foundation
import Sentences
import StrictJSON
import TensorCore
import TestSupport
import Testing
import Weights

private let tiny = Fixtures.folder.appendingPathComponent("golden/models/tiny-sd15")

/// Forms in which programs store the weights of one model: each gives the values of the plain file. A form that would give
/// other values is refused.
@Suite struct StoredFormsTests {
    /// Runs `body` on a copy of the model's folder.
    private func withCopy(_ body: (URL) throws -> Void) throws {
        try withTemporaryFolder { folder throws in
            let copy = folder.appendingPathComponent("model")
            try FileManager.default.copyItem(at: tiny, to: copy)
            try body(copy)
        }
    }

    private func open(_ path: URL, ignoring: Bool = false, _ change: (inout ModelChoice) -> Void = { _ in }) throws
        -> ModelSource
    {
        var choice = ModelChoice(path: path.path)
        choice.ignoresUnknownTensors = ignoring
        change(&choice)
        return try ModelSource.open(choice)
    }

    /// Takes every tensor of the plain model's component from `source`, which must have the same values, and nothing else.
    private func expectPlain(_ component: String, _ source: ModelSource, _ expected: [FileTensor]? = nil) throws {
        let weights = try source.weights(component: component)
        for tensor in try expected ?? SingleFiles.tensors(of: component, in: tiny) where tensor.type != "I64" {
            #expect(try weights.tensor(tensor.name, shape: tensor.shape).array == tensor.values, "\(tensor.name)")
        }
        try weights.requireAllConsumed()
    }

    /// Replaces a component's weights by one file, or by shards with their index.
    private func write(
        _ shards: [[FileTensor]], to component: String, in folder: URL, indexed: (String) -> Bool = { _ in true }
    ) throws {
        let place = folder.appendingPathComponent(component)
        let stem = component.hasPrefix("text") ? "model" : "diffusion_pytorch_model"
        for name in try FileManager.default.contentsOfDirectory(atPath: place.path) where name.contains(".safetensors") {
            try FileManager.default.removeItem(at: place.appendingPathComponent(name))
        }
        guard shards.count > 1 else { return try place.write(stem + ".safetensors", FileTensor.file(shards[0])) }
        var map = JSONObject()
        for (number, tensors) in shards.enumerated() {
            try place.write("\(stem)-\(number).safetensors", FileTensor.file(tensors))
            for tensor in tensors where indexed(tensor.name) { map[tensor.name] = .string("\(stem)-\(number).safetensors") }
        }
        let index: JSONValue = ["weight_map": .object(map)]
        try place.write(stem + ".safetensors.index.json", index.canonicalBytes())
    }

    private func prefixed(_ prefix: String, _ tensors: [FileTensor]) -> [FileTensor] {
        tensors.map { FileTensor(prefix + $0.name, $0.type, $0.shape, $0.bytes) }
    }

    /// Shards. Only one of them holds a name by which the network is recognised.
    private func shards(_ component: String) throws -> [[FileTensor]] {
        let tensors = try SingleFiles.tensors(of: component, in: tiny)
        let ends = ["mid_block.", "up_blocks.", "quant_conv.", "text_model.embeddings."]
        let apart = tensors.filter { tensor in ends.contains { tensor.name.hasPrefix($0) } }
        return [apart, tensors.filter { tensor in !apart.contains { $0.name == tensor.name } }]
    }

    // MARK: Words around names

    @Test(arguments: ["module.", "model.", "unet.", "_orig_mod.", "module._orig_mod.", "state_dict.model."])
    func shardsAreUnwrappedTogether(prefix: String) throws {
        try withCopy { folder throws in
            for component in ["unet", "vae", "text_encoder"] {
                let shards = try shards(component)
                #expect(shards.allSatisfy { !$0.isEmpty })
                try write(shards.map { prefixed(prefix, $0) }, to: component, in: folder)
            }
            for component in ["unet", "vae", "text_encoder"] { try expectPlain(component, open(folder)) }
        }
    }

    /// A tensor of the network that is in one shard with the words and in another without them is one too many.
    @Test func aPartWithAndWithoutTheWordsIsRefused() throws {
        try withCopy { folder throws in
            let shards = try shards("unet")
            let twice = try #require(shards[0].first)
            try write([prefixed("module.", shards[0]), prefixed("module.", shards[1]) + [twice]], to: "unet", in: folder)
            let error = weightsError { _ = try open(folder).weights(component: "unet") }
            #expect(error?.code == .malformed && error?.message.contains(twice.name) == true, "\(error as Any)")
            try write([prefixed("module.", shards[0] + shards[1]) + [twice]], to: "unet", in: folder)
            #expect(weightsError { _ = try open(folder).weights(component: "unet") }?.message.contains("twice") == true)
        }
    }

    /// A constant of training is no second copy of the network.
    @Test func aConstantUnderOtherWordsIsLeftOut() throws {
        try withCopy { folder throws in
            let tensors = try SingleFiles.tensors(of: "text_encoder", in: tiny)
            for words in ["module.", ""] {
                let stray = FileTensor(
                    words + "text_model.embeddings.position_ids", "I64", [1, 2], [UInt8](repeating: 0, count: 16))
                let rest = tensors.filter { $0.name != "text_model.embeddings.position_ids" }
                try write([prefixed("text_encoder.", rest) + [stray]], to: "text_encoder", in: folder)
                try expectPlain("text_encoder", open(folder))
            }
        }
    }

    /// Two copies of a network under different words: no order can tell which one is meant.
    @Test(arguments: [("module.", "unet."), ("state_dict.", "module._orig_mod."), ("model.", "state_dict.model.")])
    func aNetworkUnderTwoWordsIsRefused(one: String, other: String) throws {
        try withCopy { folder throws in
            for component in ["unet", "vae", "text_encoder"] {
                let tensors = try SingleFiles.tensors(of: component, in: tiny)
                let zeros = tensors.map { FileTensor($0.name, $0.type, $0.shape, $0.bytes.map { _ in 0 }) }
                for shards in [
                    [prefixed(one, tensors) + prefixed(other, zeros)], [prefixed(one, zeros), prefixed(other, tensors)],
                ] {
                    try write(shards, to: component, in: folder)
                    let error = weightsError { _ = try open(folder).weights(component: component) }
                    let message = error?.message ?? "nothing is refused"
                    #expect(error?.code == .malformed && message.contains("\"\(one)"), "\(message)")
                    #expect(message.contains("\"\(other)") && message.contains("different words"), "\(message)")
                    // The copy without words before its names counts, and so does the only copy that has elements.
                    try write([tensors + prefixed(one, zeros)], to: component, in: folder)
                    try expectPlain(component, open(folder))
                    let empty = tensors.map { FileTensor(other + $0.name, $0.type, [0] + $0.shape, []) }
                    try write([prefixed(one, tensors) + empty], to: component, in: folder)
                    try expectPlain(component, open(folder))
                }
            }
        }
        try withTemporaryFolder { folder throws in
            let tensors = try SingleFiles.checkpoint(of: tiny, .first)
            try folder.write("a.safetensors", FileTensor.file(prefixed(one, tensors) + prefixed(other, tensors)))
            let path = folder.appendingPathComponent("a.safetensors")
            let error = weightsError { _ = try open(path) { $0.configuration = tiny.path } }
            #expect(error?.code == .malformed && error?.message.contains("different words") == true, "\(error as Any)")
            let beside = weightsError { _ = try open(tiny) { $0.vae = path.path } }
            #expect(beside == error)
        }
    }

    @Test(arguments: [
        ("model.diffusion_model.", "model.diffusion_model._orig_mod."),
        ("model.diffusion_model.", "_orig_mod.model.diffusion_model."),
        ("first_stage_model.", "first_stage_model._orig_mod."), ("cond_stage_model.", "cond_stage_model._orig_mod."),
        ("model.diffusion_model.middle_block.", "model.diffusion_model.middle_block._orig_mod."),
    ])
    func stepsOfTheCompilerAreSeenThrough(old: String, new: String) throws {
        try withTemporaryFolder { folder throws in
            var tensors = try SingleFiles.checkpoint(of: tiny, .first)
            for index in tensors.indices where tensors[index].name.hasPrefix(old) {
                tensors[index].name = new + tensors[index].name.dropFirst(old.count)
            }
            try folder.write("a.safetensors", FileTensor.file(tensors))
            let source = try open(folder.appendingPathComponent("a.safetensors")) { $0.configuration = tiny.path }
            for component in ["unet", "vae", "text_encoder"] { try expectPlain(component, source) }
            // The same autoencoder beside the untouched model.
            let beside = try open(tiny) { $0.vae = folder.appendingPathComponent("a.safetensors").path }
            try expectPlain("vae", beside)
        }
    }

    // MARK: Strays

    /// Names that belong to no network, each with the words of the other names and without them.
    @Test(arguments: ["global_step", "epoch", "optimizer.foo.weight_scale", "model_ema.x.weight_scale", "x.comfy_quant"])
    func straysAreLeftAloneWhateverTheyAreCalled(name: String) throws {
        try withTemporaryFolder { folder throws in
            let strays = [FileTensor.f32(name, [1, 2], shape: [2]), .f32("state_dict." + name, [1, 2], shape: [2])]
            let tensors = prefixed("state_dict.", try SingleFiles.checkpoint(of: tiny, .first)) + strays
            try folder.write("a.safetensors", FileTensor.file(tensors))
            let source = try open(folder.appendingPathComponent("a.safetensors")) { $0.configuration = tiny.path }
            for component in ["unet", "vae", "text_encoder"] { try expectPlain(component, source) }
        }
    }

    @Test func aShardsStraysNeedNoPlaceInTheIndex() throws {
        try withCopy { folder throws in
            var shards = try shards("unet")
            let stray = FileTensor("epoch", "I64", [], [UInt8](repeating: 0, count: 8))
            for index in shards.indices { shards[index].append(stray) }
            try write(shards, to: "unet", in: folder) { $0 != "epoch" }
            try expectPlain("unet", open(folder))
            // A part of the network needs one.
            let part = try #require(shards[1].first?.name)
            try write(shards, to: "unet", in: folder) { $0 != part }
            let error = weightsError { _ = try open(folder).weights(component: "unet") }
            #expect(error?.code == .malformed && error?.message.contains("does not name it") == true, "\(error as Any)")
        }
    }

    /// Training files of ControlNets hold the whole model that they belong to.
    @Test func aControlNetBesideAWholeModelIsLeftAlone() throws {
        try withTemporaryFolder { folder throws in
            let control = ["control_model.input_hint_block.0.weight", "control_model.zero_convs.0.0.weight"].map {
                FileTensor.f32($0, [1], shape: [1])
            }
            try folder.write("a.safetensors", FileTensor.file(SingleFiles.checkpoint(of: tiny, .first) + control))
            try folder.write("b.safetensors", FileTensor.file(control))
            func source(_ name: String) throws -> ModelSource {
                try open(folder.appendingPathComponent(name)) { $0.configuration = tiny.path }
            }
            for component in ["unet", "vae", "text_encoder"] { try expectPlain(component, source("a.safetensors")) }
            let alone = weightsError { _ = try source("b.safetensors") }
            #expect(alone?.code == .unsupportedModel && alone?.message.contains("is a ControlNet") == true, "\(alone as Any)")
        }
    }

    /// One tensor of a level that the autoencoder does not have, in each naming.
    @Test(arguments: ["decoder.up.4.block.0.conv1.weight", "decoder.up_blocks.9.x", "encoder.down.77.downsample.conv.bias"])
    func aStrayLevelMovesNoOther(name: String) throws {
        try withTemporaryFolder { folder throws in
            let file = folder.appendingPathComponent("vae.safetensors")
            for tensors in [try SingleFiles.vae(of: tiny), try SingleFiles.tensors(of: "vae", in: tiny)] {
                try folder.write("vae.safetensors", FileTensor.file(tensors + [.f32(name, [1], shape: [1])]))
                let error = weightsError { try expectPlain("vae", open(tiny) { $0.vae = file.path }) }
                #expect(error?.code == .unusedTensors && error?.message.contains("\"\(name)\"") == true, "\(error as Any)")
                #expect(error?.sentence.settings.contains(.ignoreUnknownTensors) == true)
                #expect(error?.message.contains("name another autoencoder by --vae") == true)
                try expectPlain("vae", open(tiny, ignoring: true) { $0.vae = file.path })
            }
        }
    }

    /// A refused tensor has the name of the file, and the remedy fits the file's origin.
    @Test func strangersAreNamedAsTheFileNamesThem() throws {
        try withTemporaryFolder { folder throws in
            let name = "state_dict.model.diffusion_model.input_blocks.1.0.in_layers.7.weight"
            let tensors = prefixed("state_dict.", try SingleFiles.checkpoint(of: tiny, .first))
            try folder.write("a.safetensors", FileTensor.file(tensors + [.f32(name, [1], shape: [1])]))
            let source = try open(folder.appendingPathComponent("a.safetensors")) { $0.configuration = tiny.path }
            let error = weightsError { try expectPlain("unet", source) }
            #expect(error?.code == .unusedTensors && error?.message.contains("(\"\(name)\")") == true, "\(error as Any)")
            #expect(error?.message.hasSuffix("name their configuration by --model-config.") == true)
        }
        try withCopy { folder throws in
            let name = "module.conv_in.riddle"
            let tensors = prefixed("module.", try SingleFiles.tensors(of: "unet", in: tiny)) + [.f32(name, [1], shape: [1])]
            try write([tensors], to: "unet", in: folder)
            let error = weightsError { try expectPlain("unet", open(folder)) }
            #expect(error?.message.contains("\"\(name)\"") == true && error?.message.contains("config.json") == true)
        }
    }

    // MARK: Marks of eight bits

    /// The U-Net's first convolution in eight bits (64 for 1, 32 for 1/2 and so on in E4M3) with its scale and its mark.
    private func marked(
        _ mark: [UInt8], type: String = "F8_E4M3", scale: Float = 0.25, markType: String = "U8"
    ) throws -> (file: [FileTensor], expected: [FileTensor]) {
        let tensors = try SingleFiles.tensors(of: "unet", in: tiny)
        let weight = try #require(tensors.first { $0.name == "conv_in.weight" })
        let count = weight.shape.reduce(1, *)
        // 1, and 2: the exponents 7 and 8 of E4M3, 15 and 16 of E5M2.
        let (one, two): (UInt8, UInt8) = type == "F8_E4M3" ? (7 << 3, 8 << 3) : (15 << 2, 16 << 2)
        let rest = tensors.filter { $0.name != weight.name }
        let stored = FileTensor(weight.name, type, weight.shape, (0..<count).map { $0 % 3 == 0 ? two : one })
        let expected = FileTensor.f32(weight.name, (0..<count).map { $0 % 3 == 0 ? 2 * scale : scale }, shape: weight.shape)
        let marks = [
            FileTensor.f32("conv_in.weight_scale", [scale], shape: []),
            FileTensor("conv_in.comfy_quant", markType, [mark.count], mark),
        ]
        return (rest + [stored] + marks, rest + [expected])
    }

    @Test(arguments: [
        (#"{"format": "float8_e4m3fn"}"#, "F8_E4M3"), (#"{"format":"float8_e5m2"}"#, "F8_E5M2"),
        (#"{"format": "float8_e4m3fn", "full_precision_matrix_mult": true}"#, "F8_E4M3"),
    ])
    func marksOfLayersInEightBitsAreRead(mark: String, type: String) throws {
        let (file, expected) = try marked(Array(mark.utf8), type: type)
        for prefix in ["", "module."] {
            try withCopy { folder throws in
                try write([prefixed(prefix, file)], to: "unet", in: folder)
                try expectPlain("unet", open(folder), expected)
            }
        }
    }

    @Test(arguments: [
        (#"{"format": "nvfp4"}"#, "U8", "is stored as \"nvfp4\""), (#"{"format": "int8_tensorwise"}"#, "U8", "int8_tensorwise"),
        (#"{"format": "float8_e5m2"}"#, "U8", "is of another type"), ("{}", "U8", "does not say the format"),
        ("", "U8", "does not say the format"), ("[1", "U8", "does not say the format"),
        (#"{"format": "float8_e4m3fn"}"#, "I8", "does not say the format"),
    ])
    func otherMarksOfLayersAreRefused(mark: String, markType: String, mention: String) throws {
        let (file, expected) = try marked(Array(mark.utf8), markType: markType)
        try withCopy { folder throws in
            try write([file], to: "unet", in: folder)
            for ignoring in [false, true] {
                let error = weightsError { try expectPlain("unet", open(folder, ignoring: ignoring), expected) }
                #expect(
                    error?.message.contains(mention) == true && error?.message.contains("comfy_quant") == true,
                    "\(error as Any)")
            }
        }
    }

    @Test(arguments: [0, -0.5, .nan, .infinity] as [Float]) func scalesAreFiniteAndAboveZero(scale: Float) throws {
        let (file, expected) = try marked(Array(#"{"format": "float8_e4m3fn"}"#.utf8), scale: scale)
        try withCopy { folder throws in
            try write([file], to: "unet", in: folder)
            let error = weightsError { try expectPlain("unet", open(folder), expected) }
            #expect(error?.code == .malformed && error?.message.contains("\"conv_in.weight_scale\"") == true, "\(error as Any)")
        }
    }

    /// Converters that divide the largest value by the type's largest write 0 for a layer of zeros.
    @Test(arguments: [("F8_E4M3", 0, 0), ("F8_E5M2", 0, 0x80), ("F8_E4M3", 0x80, 0)] as [(String, UInt8, UInt8)])
    func aScaleOfZeroBelongsToAWeightOfZeros(type: String, one: UInt8, other: UInt8) throws {
        var (file, expected) = try marked(
            Array(#"{"format": "\#(type == "F8_E4M3" ? "float8_e4m3fn" : "float8_e5m2")"}"#.utf8), type: type, scale: 0)
        let place = try #require(file.firstIndex { $0.name == "conv_in.weight" })
        file[place].bytes = file[place].bytes.indices.map { $0 % 3 == 0 ? one : other }
        expected[expected.count - 1] = .f32("conv_in.weight", file[place].bytes.map { _ in 0 }, shape: file[place].shape)
        try withCopy { folder throws in
            try write([file], to: "unet", in: folder)
            try expectPlain("unet", open(folder), expected)
            // One number other than zero makes the scale a fault again.
            file[place].bytes[file[place].bytes.count - 1] = 1
            try write([file], to: "unet", in: folder)
            let error = weightsError { try expectPlain("unet", open(folder), expected) }
            #expect(
                error?.code == .malformed && error?.message.contains("\"conv_in.weight_scale\" is 0.0") == true,
                "\(error as Any)")
        }
    }

    /// Tensors with these names, written by bitsandbytes, GPTQ, Quanto and others, say that the numbers are stored in another
    /// way, whatever their shapes.
    @Test(arguments: [
        "weight.absmax", "weight.nested_absmax", "weight.quant_map", "weight.quant_state.bitsandbytes__nf4",
        "weight.quant_state.bitsandbytes__fp4", "SCB", "weight_scale_2", "weight_scale_inv", "qweight", "weight._data",
    ])
    func otherQuantisedWeightsAreRefusedWithTheCure(ending: String) throws {
        func refusal(_ path: URL, _ ignoring: Bool, _ choice: (inout ModelChoice) -> Void = { _ in }) -> WeightsError? {
            weightsError { try expectPlain("unet", open(path, ignoring: ignoring, choice)) }
        }
        func quantised(_ tensors: [FileTensor], _ layer: String) -> [[FileTensor]] {
            let stray = FileTensor("\(layer).\(ending)", "U8", [4], [1, 2, 3, 4])
            let packed = tensors.map { tensor in
                let count = tensor.shape.reduce(1, *) / 2
                return tensor.name == layer + ".weight"
                    ? FileTensor(tensor.name, "U8", [count, 1], [UInt8](repeating: 7, count: count)) : tensor
            }
            return [tensors + [stray], packed + [stray]]
        }
        try withCopy { folder throws in
            let unet = try SingleFiles.tensors(of: "unet", in: tiny)
            let (short, long) = ("time_embedding.linear_1", "model.diffusion_model.time_embed.0")
            let files = try quantised(SingleFiles.checkpoint(of: tiny, .first), long)
            let single = folder.appendingPathComponent("one.safetensors")
            for ignoring in [false, true] {
                for (index, tensors) in quantised(unet, short).enumerated() {
                    try write([tensors], to: "unet", in: folder)
                    try folder.write("one.safetensors", FileTensor.file(files[index]))
                    for (error, name) in [
                        (refusal(folder, ignoring), short), (refusal(single, ignoring), long),
                        (refusal(single, ignoring) { $0.configuration = tiny.path }, long),
                    ] {
                        let message = error?.message ?? "nothing is refused"
                        #expect(error?.code == .unsupportedFormat && message.contains("\"\(name).\(ending)\""), "\(message)")
                        #expect(message.contains("quantised") && message.hasSuffix("take the model's F16 or F32 file."))
                    }
                }
            }
            // Such a tensor means nothing outside of the network, or without elements.
            let strays = [
                FileTensor("x.\(ending)", "U8", [1], [1]), FileTensor("\(short).\(ending)", "U8", [0], []),
            ]
            try write([unet + strays], to: "unet", in: folder)
            try expectPlain("unet", open(folder))
        }
    }
}

/// Messages about files with shapes of any length.
@Suite struct ShapeMessageTests {
    private func isShort(_ error: WeightsError?) -> Bool { error.map { $0.message.utf8.count < 1000 } ?? false }

    @Test func longShapesAreNotPrintedWhole() throws {
        let ones = Array(repeating: 1, count: 10_000)
        // The size is wrong, the size overflows, and the shape is not the one that the model needs.
        #expect(isShort(refusal(safetensors([("a", "F32", ones, [])]))))
        #expect(isShort(refusal(safetensors([("a", "F32", ones + [.max, .max], [])]))))
        let error = try withFile(safetensors([f32("a", [1], shape: ones)])) { file in
            weightsError { _ = try WeightScope(file).tensor("a", shape: [2]) }
        }
        #expect(isShort(error) && error?.code == .misshapenTensor)
        #expect(error?.message.contains("[1, 1, 1, 1, 1, 1, 1, 1, … (10000 extents)]") == true, "\(error as Any)")
        let empty = try withFile(safetensors([f32("a", [], shape: ones + [0])])) { file in
            weightsError { _ = try file.tensor("a") }
        }
        #expect(isShort(empty) && empty?.code == .misshapenTensor)
        let layer = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
        let pair = [
            Numbers(layer + ".lora_B.weight", [1] + ones, [1]), Numbers(layer + ".lora_A.weight", [1, 2] + ones, [3, 4]),
        ]
        #expect(isShort(weightsError { _ = try TinyModel.source().applying([LoRAUse(lora(pair))]) }))
        // Eight extents are printed as they are.
        let eight = refusal(safetensors([("a", "F32", [1, 2, 3, 4, 5, 6, 7, 8], [])]))
        #expect(eight?.message.contains("[1, 2, 3, 4, 5, 6, 7, 8]") == true)
    }
}

/// LoRA files in forms that programs of today write.
@Suite struct StoredLoRATests {
    private let layer = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"

    private func merged(_ tensors: [Numbers], ignoring: Bool = false) throws -> [Float] {
        let source = try TinyModel.source().ignoringUnknownTensors(ignoring).applying([LoRAUse(lora(tensors))])
        return try source.weights(component: "unet").tensor(TinyModel.toQ + ".weight", shape: [2, 2]).array
    }

    private func pair(_ layer: String, adapter: String = "", up: [Float] = [1, 2], down: [Float] = [3, 4]) -> [Numbers] {
        [
            Numbers("\(layer).lora_B\(adapter).weight", [2, 1], up),
            Numbers("\(layer).lora_A\(adapter).weight", [1, 2], down),
        ]
    }

    /// Scales are powers of two, so that the sums are the same bits.
    @Test(arguments: ["scale_weight", "weight_scale"], [false, true])
    func scalesCountWhateverIsIgnored(ending: String, ignoring: Bool) throws {
        let plain = try merged(pair(layer))
        for adapter in ["", ".mine"] {
            let scales = [
                Numbers("\(layer).lora_B\(adapter).\(ending)", [1], [0.5]),
                Numbers("\(layer).lora_A\(adapter).\(ending)", [], [4]),
            ]
            let scaled = pair(layer, adapter: adapter, up: [2, 4], down: [0.75, 1]) + scales
            #expect(try merged(scaled, ignoring: ignoring) == plain)
        }
        let kohya = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
        let scaled = [
            Numbers(kohya + ".lora_up.weight", [2, 1], [2, 4]), Numbers(kohya + ".lora_up." + ending, [1], [0.5]),
            Numbers(kohya + ".lora_down.weight", [1, 2], [3, 4]),
        ]
        #expect(try merged(scaled, ignoring: ignoring) == plain)
        for value in [0, -1, Float.nan] {
            let wrong = pair(layer) + [Numbers("\(layer).lora_B.\(ending)", [1], [value])]
            let error = weightsError { _ = try merged(wrong, ignoring: ignoring) }
            #expect(error?.code == .malformed && error?.message.contains("lora_B.\(ending)") == true, "\(error as Any)")
        }
        let empty = pair(layer) + [Numbers("\(layer).lora_B.\(ending)", [0], [])]
        #expect(try merged(empty, ignoring: ignoring) == plain)
        let parts = pair(layer) + [Numbers("\(layer).lora_B.\(ending)", [2], [1, 1])]
        #expect(weightsError { _ = try merged(parts, ignoring: ignoring) }?.code == .unsupportedFormat)
        let alone = pair(layer) + [Numbers("unet.conv_in.lora_B.\(ending)", [1], [1])]
        #expect(weightsError { _ = try merged(alone, ignoring: ignoring) }?.code == .malformed)
    }

    @Test(arguments: [".default", ".my_adapter", ".0", ".weight", ".lora_A"]) func adaptersHaveAnyName(adapter: String) throws {
        #expect(try merged(pair(layer, adapter: adapter)) == merged(pair(layer)))
        // A bias is no plain LoRA under any name, even if unknown tensors are ignored.
        let bias = pair(layer, adapter: adapter) + [Numbers("\(layer).lora_B\(adapter).bias", [2], [1, 1])]
        #expect(weightsError { _ = try merged(bias, ignoring: true) }?.message.contains("biases") == true)
    }

    @Test func twoAdaptersInOneFileAreRefused() throws {
        let other = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
        let second = [
            Numbers(other + ".lora_B.b.weight", [2, 1], [1, 1]), Numbers(other + ".lora_A.b.weight", [1, 3], [1, 1, 1]),
        ]
        let error = weightsError { _ = try merged(pair(layer, adapter: ".a") + second) }
        #expect(error?.code == .malformed && error?.message.contains("two adapters") == true, "\(error as Any)")
    }

    @Test(arguments: [
        "_orig_mod.unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
        "unet._orig_mod.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
        "base_model.model._orig_mod.down_blocks.0.attentions.0._orig_mod.transformer_blocks.0.attn1.to_q",
        "lora_unet__orig_mod_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q",
    ])
    func stepsOfTheCompilerAreSeenThrough(layer: String) throws {
        #expect(try merged(pair(layer)) == merged(pair(self.layer)))
    }
}
