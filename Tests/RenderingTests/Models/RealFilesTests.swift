import Foundation
import StrictJSON
import TestSupport
import Testing
import Weights

@testable import Rendering

/// Model files as people have them. Each gives the picture of the plain file that it stands for, and notes name the parts that
/// were left out. Native size 64 px.
@Suite("Files that people have") struct RealFilesTests {
    static let model = Fixtures.folder.appendingPathComponent("golden/models/tiny-sd15")
    static let plain = Result { try pixels(ModelSource.open(ModelChoice(path: model.path))) }
    static let checkpoint = Result { try SingleFiles.checkpoint(of: model, .first) }

    static func pixels(_ source: ModelSource, _ change: (inout RenderRequest) -> Void = { _ in }) throws -> [UInt8] {
        try LocalRender(source).image(
            request {
                ($0.prompt, $0.width, $0.height, $0.steps, $0.seed) = ("a cat", 64, 64, 3, 7)
                change(&$0)
            }
        ).rgb
    }

    /// Runs `body` on a copy of the model's folder and its choice.
    static func withCopy<Value>(_ body: (URL, inout ModelChoice) throws -> Value) throws -> Value {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("patchloom-files-\(UUID().uuidString)")
        try FileManager.default.copyItem(at: model, to: folder)
        defer { try? FileManager.default.removeItem(at: folder) }
        var choice = ModelChoice(path: folder.path)
        return try body(folder, &choice)
    }

    /// Sets members of a JSON file; `nil` takes one away.
    static func set(_ file: URL, _ members: [String: JSONValue?]) throws {
        var object = try #require(JSONValue(parsing: [UInt8](Data(contentsOf: file)), limits: .config).objectValue)
        for (key, value) in members { object[key] = value }
        try Data(JSONValue.object(object).canonicalBytes()).write(to: file)
    }

    /// Replaces the weights of a component by one file.
    static func write(_ tensors: [FileTensor], to component: String, in folder: URL) throws {
        let place = folder.appendingPathComponent(component)
        for name in try FileManager.default.contentsOfDirectory(atPath: place.path) where name.contains(".safetensors") {
            try FileManager.default.removeItem(at: place.appendingPathComponent(name))
        }
        let name = component.hasPrefix("text") ? "model" : "diffusion_pytorch_model"
        try Data(FileTensor.file(tensors)).write(to: place.appendingPathComponent(name + ".safetensors"))
    }

    /// The description and the pixels of a single file with the model's configuration.
    static func single(
        _ tensors: [FileTensor], metadata: [String: String] = [:], _ change: (inout ModelChoice) -> Void = { _ in }
    ) throws -> (notes: [String], pixels: [UInt8]) {
        try withCopy { folder, choice in
            let file = folder.appendingPathComponent("checkpoint.safetensors")
            try Data(FileTensor.file(tensors, metadata: metadata)).write(to: file)
            choice.path = file.path
            choice.configuration = folder.path
            change(&choice)
            let source = try ModelSource.open(choice)
            return (try ModelDescription(source: source).notes, try pixels(source))
        }
    }

    static func expectPlain(
        _ folder: URL, _ choice: ModelChoice, notes mentions: [String], _ location: SourceLocation = #_sourceLocation
    ) throws {
        let source = try ModelSource.open(choice)
        let notes = try ModelDescription(source: source).notes
        #expect(notes.count == mentions.count, "\(notes)", sourceLocation: location)
        for (note, mention) in zip(notes, mentions) { #expect(note.contains(mention), "\(note)", sourceLocation: location) }
        #expect(try pixels(source) == plain.get(), sourceLocation: location)
    }

    // MARK: Configurations

    @Test(
        arguments: [
            ("unet", ["decay": 0.99, "inv_gamma": 1.0, "power": 0.75, "optimization_step": 7, "min_decay": 0.0], nil),
            ("unet", ["_class_name": "UNet2DConditionModel", "torch_dtype": "float16", "future": .null], nil),
            ("vae", ["use_ema_warmup": true, "update_after_step": 0], nil),
            (
                "vae", ["double_z": true, "ch_mult": [1, 2, 4]],
                "vae/config.json has settings that mean nothing here and are ignored: \"ch_mult\", \"double_z\""
            ),
            (
                "unet", ["a_new_option": true],
                "unet/config.json has a setting that means nothing here and is ignored: \"a_new_option\""
            ),
            ("text_encoder", ["attention_dropout": 0.1, "is_decoder": false, "top_k": 50, "dtype": "float32"], nil),
            (
                "text_encoder", ["attention_dropout": 0.1, "a_new_option": 3],
                "text_encoder/config.json has a setting that means nothing here and is ignored: \"a_new_option\""
            ),
            ("scheduler", ["_diffusers_version": "0.99.0", "solver_order": 2, "flow_shift": 1.0, "future": .null], nil),
            (
                "scheduler", ["a_new_option": 3, "solver_order": 2, "beta_sharpness": 1],
                "scheduler_config.json has settings that mean nothing here and are ignored: \"a_new_option\", \"beta_sharpness\""
            ),
        ] as [(String, [String: JSONValue], String?)])
    func keysThatNoNetworkReadsAreIgnored(component: String, members: [String: JSONValue], note: String?) throws {
        try Self.withCopy { folder, choice in
            let file = component == "scheduler" ? "scheduler/scheduler_config.json" : component + "/config.json"
            try Self.set(folder.appendingPathComponent(file), members)
            try Self.expectPlain(folder, choice, notes: note.map { [$0] } ?? [])
        }
    }

    /// A note names the file that has the key, also if the file is not in the model's folder.
    @Test func notesNameTheFileThatTheyAreAbout() throws {
        try Self.withCopy { folder, choice in
            try Self.set(folder.appendingPathComponent("vae/config.json"), ["a_new_option": 1])
            try Self.set(folder.appendingPathComponent("unet/config.json"), ["another_option": 1])
            try Self.set(folder.appendingPathComponent("scheduler/scheduler_config.json"), ["steps_offset": 0])
            choice.path = Self.model.path
            choice.vae = folder.appendingPathComponent("vae").path
            try Self.expectPlain(folder, choice, notes: ["\(folder.path)/vae/config.json has a setting"])
            choice.vae = folder.path
            try Self.expectPlain(folder, choice, notes: ["\(folder.path)/vae/config.json has a setting"])
            let file = folder.appendingPathComponent("checkpoint.safetensors")
            try Data(FileTensor.file(Self.checkpoint.get())).write(to: file)
            (choice.path, choice.vae, choice.configuration) = (file.path, nil, folder.path)
            try Self.expectPlain(
                folder, choice,
                notes: [
                    "\(folder.path)/scheduler/scheduler_config.json: steps_offset",
                    "\(folder.path)/unet/config.json has a setting", "\(folder.path)/vae/config.json has a setting",
                ])
        }
    }

    @Test(
        arguments: [
            ("unet", "class_embed_type", "timestep"), ("unet", "mid_block_only_cross_attention", true),
            ("unet", "quantization_config", ["quant_method": "bitsandbytes"]), ("vae", "quantization_config", [:]),
            ("vae", "shift_factor", 0.1), ("unet", "attention_type", "gated"),
            ("text_encoder", "quantization_config", ["quant_method": "bitsandbytes"]),
        ] as [(String, String, JSONValue)])
    func optionsThatChangeTheNetworkAreRefused(component: String, key: String, value: JSONValue) throws {
        try Self.withCopy { folder, choice in
            try Self.set(folder.appendingPathComponent(component + "/config.json"), [key: value])
            let error = refusal { _ = try ModelDescription(source: .open(choice)) }
            #expect(
                error?.code == .badModel && error?.isSentence == true && error?.message.contains(key) == true, "\(error as Any)"
            )
        }
    }

    // MARK: Old folders

    /// The offset and the clipping of the scheduler's file do not count; diffusers repairs them as well.
    @Test(
        arguments: [
            ["steps_offset": 0, "clip_sample": true], ["steps_offset": nil, "clip_sample": nil], ["steps_offset": 7],
        ] as [[String: JSONValue?]],
        ["DDIMScheduler", "PNDMScheduler", "DPMSolverMultistepScheduler", "DDPMScheduler"])
    func schedulersOfOldFoldersAreRepaired(members: [String: JSONValue?], name: String) throws {
        func picture(_ members: [String: JSONValue?]) throws -> (notes: [String], pixels: [UInt8]) {
            try Self.withCopy { folder, choice in
                let file = folder.appendingPathComponent("scheduler/scheduler_config.json")
                try Self.set(file, ["_class_name": .string(name)])
                try Self.set(file, members)
                let source = try ModelSource.open(choice)
                return (try ModelDescription(source: source).notes, try Self.pixels(source))
            }
        }
        let right = try picture(["steps_offset": 1, "clip_sample": false])
        let old = try picture(members)
        #expect(right.notes.isEmpty && old.pixels == right.pixels)
        #expect(old.notes.count == 1 && old.notes[0].contains("steps_offset"))
        let clips = members["clip_sample"].map { $0 == true || ($0 == nil && name.hasPrefix("DD")) } ?? false
        #expect(old.notes[0].contains("clip_sample") == clips, "\(old.notes)")
    }

    @Test func schedulersOfXLAreTakenAsTheyAre() throws {
        func pixels(_ offset: Int64) throws -> [UInt8] {
            var members = GoldenModels.euler
            members["steps_offset"] = .integer(offset)
            let source = try GoldenModels.sdxl(setting: [GoldenModels.schedulerPath: members])
            #expect(try ModelDescription(source: source).notes.isEmpty)
            return try Self.pixels(source)
        }
        #expect(try pixels(0) != pixels(1))
    }

    // MARK: Leftovers

    private static let strays: [FileTensor] = [
        .f32("embedding_manager.embedder.weight", [1, 2], shape: [2]), .f32("optimizer_states.0.exp_avg", [1], shape: [1]),
        FileTensor("epoch", "I64", [], [UInt8](repeating: 0, count: 8)), FileTensor("lr_schedulers", "I32", [0], []),
        .f32("cond_stage_model.text_projection", [1, 2, 3, 4], shape: [2, 2]), .f32("model_ema.decay", [0.9], shape: []),
        .f32("cond_stage_model.transformer.vision_model.post_layernorm.bias", [1], shape: [1]),
        .f32("first_stage_model.loss.logvar", [0], shape: []), .f32("callbacks.0", [], shape: [0, 3]),
        FileTensor("state", "U64", [1], [UInt8](repeating: 1, count: 8)),
        .f32("lora_unet_conv_in.alpha", [1], shape: []),
    ]

    @Test func whatNoPartAsksForIsLeftAlone() throws {
        let (notes, pixels) = try Self.single(Self.checkpoint.get() + Self.strays)
        #expect(try pixels == Self.plain.get())
        #expect(notes.count == 1 && notes[0].contains("holds 9 tensors"), "\(notes)")
        #expect(notes.first?.contains("\"callbacks.0\"") == true && notes.first?.contains("and 4 more") == true)
        // Empty tensors change nothing, wherever they are.
        let empty = FileTensor.f32("model.diffusion_model.input_blocks.1.0.stray", [], shape: [0])
        #expect(try Self.single(Self.checkpoint.get() + [empty]).pixels == Self.plain.get())
    }

    @Test(arguments: ["state_dict.", "model.", "module.", "state_dict.module."])
    func wrappersAreSeenThrough(prefix: String) throws {
        var tensors = try Self.checkpoint.get()
        for index in tensors.indices { tensors[index].name = prefix + tensors[index].name }
        tensors.append(FileTensor("epoch", "I64", [], [UInt8](repeating: 0, count: 8)))
        #expect(try Self.single(tensors).pixels == Self.plain.get())
        // A folder's components too, each with another wrapper.
        try Self.withCopy { folder, choice in
            for (component, own) in [("unet", "unet."), ("vae", "vae."), ("text_encoder", "text_encoder.")] {
                var tensors = try SingleFiles.tensors(of: component, in: Self.model)
                for index in tensors.indices { tensors[index].name = prefix + own + tensors[index].name }
                try Self.write(tensors, to: component, in: folder)
            }
            try Self.expectPlain(folder, choice, notes: [])
        }
    }

    @Test(arguments: [
        ("unet", "global_step", true), ("unet", "model_ema.conv_in.weight", false), ("vae", "logvar", false),
        ("unet", "epoch", true), ("unet", "betas", false), ("vae", "alphas_cumprod", false), ("vae", "edm_mean", true),
        ("text_encoder", "text_model.embeddings.position_ids", false), ("text_encoder", "vision_model.bias", true),
        ("text_encoder", "logit_scale", false), ("text_encoder", "text_projection.weight", false),
    ])
    func straysInAFoldersFilesAreLeftAlone(component: String, name: String, isNoted: Bool) throws {
        try Self.withCopy { folder, choice in
            let tensors = try SingleFiles.tensors(of: component, in: Self.model).filter { $0.name != name }
            try Self.write(tensors + [.f32(name, [1, 2], shape: [1, 2])], to: component, in: folder)
            try Self.expectPlain(folder, choice, notes: isNoted ? ["(\"\(name)\")"] : [])
        }
    }

    /// The same names are known in single files and in folders.
    @Test func constantsAreSilentAndCountersAreNot() throws {
        let counters: [FileTensor] = [
            FileTensor("global_step", "I64", [], [UInt8](repeating: 1, count: 8)),
            FileTensor("epoch", "I64", [1], [UInt8](repeating: 1, count: 8)),
        ]
        let constants: [FileTensor] = ["betas", "alphas_cumprod", "scale_factor", "logvar", "denoiser.sigmas"].map {
            .f32($0, [1, 2], shape: [2])
        }
        let line = "2 tensors (\"epoch\", \"global_step\")"
        let names = Set((counters + constants).map(\.name))
        let plain = try Self.checkpoint.get().filter { !names.contains($0.name) }
        let single = try Self.single(plain + counters + constants)
        #expect(try single.pixels == Self.plain.get())
        #expect(single.notes.count == 1 && single.notes[0].contains(line), "\(single.notes)")
        try Self.withCopy { folder, choice in
            let unet = try SingleFiles.tensors(of: "unet", in: Self.model)
            try Self.write(unet + counters + constants, to: "unet", in: folder)
            try Self.expectPlain(folder, choice, notes: [line])
        }
    }

    /// Inside of a network every tensor counts, unless the user says otherwise.
    @Test(arguments: [
        "model.diffusion_model.input_blocks.1.0.stray.weight", "model.diffusion_model.class_embedding.linear_1.weight",
        "first_stage_model.decoder.up.0.block.9.conv1.weight", "first_stage_model.encoder.mid.attn_2.q.weight",
        "cond_stage_model.transformer.text_model.encoder.layers.77.mlp.fc1.weight",
    ])
    func whatIsLeftOverInsideANetworkIsRefused(name: String) throws {
        let tensors = try Self.checkpoint.get() + [.f32(name, [1, 2], shape: [1, 2])]
        let error = refusal { _ = try Self.single(tensors) }
        #expect(error?.code == .badModel && error?.isSentence == true, "\(error as Any)")
        #expect(
            error?.message.contains("(\"\(name)\")") == true && error?.message.contains("--ignore-unknown-tensors") == true,
            "\(error as Any)")
        let (notes, pixels) = try Self.single(tensors) { $0.ignoresUnknownTensors = true }
        #expect(try pixels == Self.plain.get())
        #expect(notes.count == 1 && notes[0].contains("(\"\(name)\")"), "\(notes)")
        let two = try Self.single(tensors + [.f32(name + "2", [1], shape: [1])]) { $0.ignoresUnknownTensors = true }
        #expect(two.notes.count == 1 && two.notes[0].contains("(\"\(name)\", \"\(name)2\")"), "\(two.notes)")
    }

    @Test func whatIsMissingOrMisshapenIsStillRefused() throws {
        let tensors = try Self.checkpoint.get()
        // With the names that the networks ask for.
        for (name, asked) in [
            ("model.diffusion_model.out.2.weight", "conv_out.weight"),
            ("first_stage_model.encoder.conv_in.bias", "encoder.conv_in.bias"),
            ("cond_stage_model.transformer.text_model.final_layer_norm.bias", "text_model.final_layer_norm.bias"),
            ("first_stage_model.decoder.mid.attn_1.v.weight", "decoder.mid_block.attentions.0.to_v.weight"),
        ] {
            for ignores in [false, true] {
                let missing = refusal {
                    _ = try Self.single(tensors.filter { $0.name != name }) { $0.ignoresUnknownTensors = ignores }
                }
                #expect(missing?.code == .badModel && missing?.isSentence == true, "\(missing as Any)")
                #expect(missing?.message.contains("\"\(asked)\"") == true, "\(missing as Any)")
            }
            let misshapen = tensors.map { tensor in
                tensor.name != name
                    ? tensor : FileTensor(name, tensor.type, [1] + tensor.shape, tensor.bytes)
            }
            #expect(refusal { _ = try Self.single(misshapen) }?.message.contains("has shape [1, ") == true)
        }
    }

    // MARK: Names

    private static let attentionNames: [[String: String]] = [
        ["to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn", "group_norm": "group_norm"],
        ["to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out", "group_norm": "norm"],
        ["to_q": "to_q", "to_k": "to_k", "to_v": "to_v", "to_out.0": "to_out.0", "group_norm": "group_norm"],
    ]

    @Test(arguments: 0..<3, [false, true])
    func theAutoencodersAttentionHasAllItsNames(names: Int, asConvolution: Bool) throws {
        func renamed(_ tensors: [FileTensor], _ place: String, _ known: [String: String]) -> [FileTensor] {
            tensors.map { tensor in
                guard let found = tensor.name.firstRange(of: place), let dot = tensor.name.lastIndex(of: "."),
                    let name = known[String(tensor.name[found.upperBound..<dot])]
                else { return tensor }
                var shape = tensor.shape
                if shape.count > 1 { shape = Array(shape[..<2]) + (asConvolution ? [1, 1] : []) }
                return FileTensor(
                    tensor.name[..<found.upperBound] + name + tensor.name[dot...], tensor.type, shape, tensor.bytes)
            }
        }
        let table = Self.attentionNames[names]
        let diffusers = renamed(try SingleFiles.tensors(of: "vae", in: Self.model), ".mid_block.attentions.0.", table)
        #expect(diffusers.count { $0.name.contains(".mid_block.attentions.0.") } == 20)
        try Self.withCopy { folder, choice in
            try Self.write(diffusers, to: "vae", in: folder)
            try Self.expectPlain(folder, choice, notes: [])
            // The same file as --vae of the untouched model, and LDM's layout with these names.
            choice.path = Self.model.path
            choice.vae = folder.appendingPathComponent("vae/diffusion_pytorch_model.safetensors").path
            try Self.expectPlain(folder, choice, notes: [])
            let original = ["to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out", "group_norm": "norm"]
            let ldm = renamed(
                try SingleFiles.vae(of: Self.model), ".mid.attn_1.",
                Dictionary(uniqueKeysWithValues: original.map { ($0.value, table[$0.key] ?? "") }))
            try Data(FileTensor.file(ldm)).write(to: folder.appendingPathComponent("ldm.safetensors"))
            choice.vae = folder.appendingPathComponent("ldm.safetensors").path
            try Self.expectPlain(folder, choice, notes: [])
            // A folder whose file has LDM's names.
            try Self.write(ldm, to: "vae", in: folder)
            (choice.path, choice.vae) = (folder.path, nil)
            try Self.expectPlain(folder, choice, notes: [])
        }
    }

    @Test func twoNamesOfOnePartAreRefused() throws {
        let vae = try SingleFiles.tensors(of: "vae", in: Self.model)
        let twice = try #require(vae.first { $0.name.hasSuffix(".to_q.weight") })
        var other = twice
        other.name = twice.name.replacing("to_q", with: "query")
        try Self.withCopy { folder, choice in
            try Self.write(vae + [other], to: "vae", in: folder)
            let error = refusal { _ = try ModelDescription(source: .open(choice)) }
            #expect(error?.message.contains("which are the same part of the model") == true, "\(error as Any)")
        }
    }

    // MARK: Element types

    /// A model whose U-Net has numbers that eight bits can hold, stored wide and narrow.
    @Test(arguments: ["F8_E4M3", "F8_E5M2"], [".scale_weight", ".weight_scale", ""])
    func weightsOfEightBitsAreReadExactly(type: String, ending: String) throws {
        let wide = try SingleFiles.tensors(of: "unet", in: Self.model).map { tensor in
            tensor.shape.count > 1 ? EightBits.rounded(tensor, type) : tensor
        }
        let narrow = wide.flatMap { tensor -> [FileTensor] in
            guard tensor.shape.count > 1 else { return [tensor] }
            let stored = EightBits.stored(tensor, type)
            guard !ending.isEmpty else { return [stored] }
            return [stored, .f32(tensor.name.replacing(".weight", with: ending), [0.5], shape: [1])]
        }
        func pixels(_ tensors: [FileTensor]) throws -> [UInt8] {
            try Self.withCopy { folder, choice in
                try Self.write(tensors, to: "unet", in: folder)
                return try Self.pixels(.open(choice))
            }
        }
        let halved = wide.map { tensor in
            tensor.shape.count > 1 && !ending.isEmpty
                ? FileTensor.f32(tensor.name, tensor.values.map { $0 * 0.5 }, shape: tensor.shape) : tensor
        }
        let marks = [
            FileTensor(
                "scaled_fp8", type, [2], [0, 0]), .f32("conv_in.scale_input", [3], shape: []),
            .f32("conv_in.input_scale", [3], shape: []),
        ]
        #expect(try pixels(narrow + (ending.isEmpty ? [] : marks)) == pixels(halved))
    }

    @Test func doublesAreRead() throws {
        try Self.withCopy { folder, choice in
            let tensors = try SingleFiles.tensors(of: "unet", in: Self.model).map { tensor in
                FileTensor(
                    tensor.name, "F64", tensor.shape,
                    tensor.values.flatMap { withUnsafeBytes(of: Double($0).bitPattern.littleEndian) { Array($0) } })
            }
            try Self.write(tensors, to: "unet", in: folder)
            try Self.expectPlain(folder, choice, notes: [])
        }
    }

    @Test(arguments: [
        ("conv_in.weight_scale_inv", "F32", [1], "conv_in.weight_scale_inv"),
        ("conv_in.scale_weight", "F32", [2], "scales parts of a weight"),
        ("conv_in.stray.scale_weight", "F32", [1], "without its weight"),
    ])
    func scalesThatAreNotUnderstoodAreRefused(name: String, type: String, shape: [Int], mention: String) throws {
        try Self.withCopy { folder, choice in
            let unet = try SingleFiles.tensors(of: "unet", in: Self.model)
            let scale = FileTensor.f32(name, [Float](repeating: 1, count: shape[0]), shape: shape)
            try Self.write(unet + [scale], to: "unet", in: folder)
            let error = refusal { _ = try ModelDescription(source: .open(choice)) }
            #expect(
                error?.code == .badModel && error?.isSentence == true && error?.message.contains(mention) == true,
                "\(error as Any)")
        }
    }

    @Test(arguments: ["I8", "U8", "I32"]) func wholeNumbersAreNoWeights(type: String) throws {
        try Self.withCopy { folder, choice in
            let unet = try SingleFiles.tensors(of: "unet", in: Self.model).map { tensor in
                guard tensor.name == "conv_in.weight" else { return tensor }
                let width = type == "I32" ? 4 : 1
                return FileTensor(
                    tensor.name, type, tensor.shape, [UInt8](repeating: 1, count: tensor.shape.reduce(width, *)))
            }
            try Self.write(unet, to: "unet", in: folder)
            let error = refusal { _ = try ModelDescription(source: .open(choice)) }
            #expect(
                error?.message.contains("holds \(type), but weights must be floating-point numbers") == true, "\(error as Any)")
        }
    }
}
