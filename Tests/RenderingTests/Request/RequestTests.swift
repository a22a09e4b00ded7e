import Acceleration
import PatchGeometry
import Rendering
import Samplers
import Sentences
import StrictJSON
import TensorCore
import TestSupport
import Testing

@Suite struct RequestTests {
    private static let full = request {
        $0.prompt = "a red apple, \"ripe\"\n: 🍎"
        $0.negativePrompt = "blurry\ttext"
        ($0.width, $0.height) = (1024, 520)
        $0.steps = 17
        $0.guidanceScale = 6.25
        $0.seed = .max
        $0.method = .cut
        $0.hiDiffusion = .off
        ($0.patch, $0.stride) = (256, 96)
        $0.structureFraction = StructureFraction("0.35")
        $0.samplingMethod = .ddim
        $0.noiseSchedule = .trailing
        $0.eta = 0.1
        ($0.detailGuidanceScale, $0.guidanceRescale, $0.clipSkip) = (3.5, 0.7, 2)
        $0.originalSize = SizeConditioning.Size(width: 640, height: 480)
        $0.cropTopLeft = SizeConditioning.Corner(top: 8, left: 0)
        $0.targetSize = SizeConditioning.Size(width: 1, height: 16384)
        $0.hiDiffusionProfile = .sdxlPlayground
    }

    /// A request with every setting of pictures in stages and of HiDiffusion.
    private static let staged = request {
        ($0.width, $0.height, $0.steps, $0.method) = (1024, 512, 12, .cut)
        ($0.stages, $0.structure, $0.blending, $0.jitter) = ([1, 2.5], .whole, .feather, 8)
        $0.precision = .bf16
        $0.refinement.upscaler = .latentBicubic
        ($0.refinement.strength, $0.refinement.steps, $0.refinement.tiled) = (0.85, 20, true)
        $0.hiDiffusion = .on
        ($0.hiDiffusionSettings.raunet, $0.hiDiffusionSettings.windows) = (true, false)
        ($0.hiDiffusionSettings.t1, $0.hiDiffusionSettings.t2, $0.hiDiffusionSettings.aggressive) = (0.4, 0, 1)
        $0.tokenReduction = TokenReductionRequest()
        $0.tokenReduction?.merging = TokenReductionRequest.Merging(ratio: 0.5)
        $0.tokenReduction?.merging?.destinations = .random
    }

    @Test(arguments: [RenderRequest(), full, staged])
    func roundTrip(_ request: RenderRequest) throws {
        let bytes = request.json.canonicalBytes()
        #expect(try RenderRequest(metadata: JSONValue(parsing: bytes, limits: .wire)) == request)
    }

    @Test func absentKeysAreTheDefaults() throws {
        #expect(try RenderRequest(metadata: [:]) == RenderRequest())
    }

    @Test func everySettingOutOfRangeIsRefusedWithASentenceThatNamesIt() {
        let cases: [(setting: Setting, part: String, change: (inout RenderRequest) -> Void)] = [
            (.prompt, "prompt has 8193 bytes", { $0.prompt = String(repeating: "a", count: 8193) }),
            (.negativePrompt, "negative prompt has 8196 bytes", { $0.negativePrompt = String(repeating: "🍎", count: 2049) }),
            (.prompt, "prompt holds the control character U+0000", { $0.prompt = "a\0b" }),
            (.negativePrompt, "negative prompt holds the control character U+001B", { $0.negativePrompt = "\u{1B}[31m" }),
            (.width, "width of 56 px is not possible", { $0.width = 56 }),
            (.height, "height of -8 px is not possible", { $0.height = -8 }),
            (.width, "width of 16392 px is not possible", { $0.width = 16392 }),
            (.width, "width of 9223372036854775807 px", { $0.width = .max }),
            (.height, "height of 517 px is not a multiple of 8: choose 512 or 520", { $0.height = 517 }),
            (.steps, "0 steps", { $0.steps = 0 }), (.steps, "1001 steps", { $0.steps = 1001 }),
            (.cfgScale, "guidance scale of -1", { $0.guidanceScale = -1 }),
            (.cfgScale, "guidance scale of 51", { $0.guidanceScale = 51 }),
            (.cfgScale, "guidance scale of nan", { $0.guidanceScale = .nan }),
            (.cfgScale, "guidance scale of inf", { $0.guidanceScale = .infinity }),
            (.eta, "eta of 1.5", { $0.eta = 1.5 }), (.eta, "eta of nan", { $0.eta = .nan }),
            (.detailCfgScale, "guidance scale of 51.0 in the detail phase", { $0.detailGuidanceScale = 51 }),
            (.detailCfgScale, "guidance scale of nan in the detail phase", { $0.detailGuidanceScale = .nan }),
            (.guidanceRescale, "guidance rescale of 1.1", { $0.guidanceRescale = 1.1 }),
            (.guidanceRescale, "guidance rescale of nan", { $0.guidanceRescale = .nan }),
            (.prompt, "In the prompt: ", { $0.prompt = "<lora:ink:0.5> (a:1..2)" }),
            (.prompt, "\"(a:1..2)\"", { $0.prompt = "<lora:ink:0.5> (a:1..2)" }),
            (.negativePrompt, "In the negative prompt: ", { $0.negativePrompt = "[a|b]" }),
            (.negativePrompt, "\"[a|b]\"", { $0.negativePrompt = "[a|b]" }),
            (.clipSkip, "clip skip of 0", { $0.clipSkip = 0 }), (.clipSkip, "clip skip of 101", { $0.clipSkip = 101 }),
            (.originalSize, "original size of 0×8", { $0.originalSize = SizeConditioning.Size(width: 0, height: 8) }),
            (.targetSize, "target size of 8×16385", { $0.targetSize = SizeConditioning.Size(width: 8, height: 16385) }),
            (.cropCoordsTopLeft, "crop at -1,0 px", { $0.cropTopLeft = SizeConditioning.Corner(top: -1, left: 0) }),
            (.patch, "patch of 32 px", { $0.patch = 32 }), (.patch, "patch of 100 px", { $0.patch = 100 }),
            (.stride, "stride of 0 px", { $0.stride = 0 }), (.stride, "stride of 4 px", { $0.stride = 4 }),
            (.stride, "stride of 136 px", { ($0.patch, $0.stride) = (128, 136) }),
        ]
        for (setting, part, change) in cases {
            let error = refusal { try request(change).validated() }
            #expect(error?.code == .invalidRequest && error?.isSentence == true, "\(part): \(String(describing: error))")
            #expect(error?.message.contains(part) == true, "\(part): \(error?.message ?? "accepted")")
            #expect(error?.faults.map(\.setting) == [setting], "\(part)")
        }
    }

    /// Other programs can show the value and the bounds in their own way.
    @Test func aRefusedValueIsSaidWithWhatIsPossible() {
        func fault(_ change: (inout RenderRequest) -> Void) -> [SettingFault]? {
            refusal { try request(change).validated() }?.faults
        }
        #expect(fault { $0.steps = 0 } == [SettingFault(.steps, value: 0, possible: .numbers(1...1000))])
        #expect(fault { $0.guidanceScale = 51 } == [SettingFault(.cfgScale, value: .number(51), possible: .numbers(0...50))])
        #expect(fault { $0.eta = .nan } == [SettingFault(.eta, possible: .numbers(0...1))])
        #expect(
            fault { $0.height = 517 }
                == [SettingFault(.height, value: 517, possible: .numbers(64...16384, multiple: 8))])
        #expect(
            fault { ($0.method, $0.refinement.strength) = (.hires, 0) }
                == [SettingFault(.denoisingStrength, value: .number(0), possible: .numbers(0...1, isOpen: true))])
        #expect(
            fault { ($0.patch, $0.stride) = (128, 136) }
                == [SettingFault(.stride, value: 136, possible: .numbers(8...128, multiple: 8))])
        #expect(
            fault { ($0.method, $0.jitter) = (.cut, 12) }
                == [SettingFault(.jitter, value: 12, possible: .numbers(0...16384, multiple: 8))])
        #expect(fault { $0.stages = [2, 1] } == [SettingFault(.stages, value: [.number(2), .number(1)])])
        #expect(fault { $0.guidanceScale = 50.1 }?.first?.value == .number(50.1), "not as the nearest double of a float")
        var tokens = TokenReductionRequest()
        tokens.downsampling = TokenReductionRequest.Downsampling(factors: [2])
        tokens.downsampling?.maximumDepth = 9
        #expect(
            fault { $0.tokenReduction = tokens } == [SettingFault(.todoMaxDepth, value: 9, possible: .numbers(1...4))])
        // The LoRAs are at fault together. Each alone is possible.
        let tooMany = fault { $0.loras = Array(repeating: LoRASelection(word: "ink"), count: 40) }
        #expect(tooMany == [SettingFault(.lora)])
        #expect(fault { $0.prompt = "<lora:ink:1e9>" } == [SettingFault(.prompt)])
        #expect(fault { $0.negativePrompt = "<lora:ink:1>" } == [SettingFault(.negativePrompt)])
    }

    @Test func aMemberOfTheWrongKindIsTheFaultOfItsSetting() {
        func faults(_ json: JSONValue) -> [SettingFault]? { refusal { _ = try RenderRequest(metadata: json) }?.faults }
        #expect(faults(["steps": "many"]) == [SettingFault(.steps, value: "many")])
        #expect(
            faults(["structure": "half"])
                == [SettingFault(.structure, value: "half", possible: .choices(["patches", "whole"]))])
        #expect(
            faults(["refinement": ["steps": 4, "tiled": 1]])
                == [SettingFault(.hiresTiled, value: 1)])
        #expect(
            faults(["hidiffusion_settings": ["raunet": "yes", "window_attn": true]])
                == [SettingFault(.hidiffusionRaunet, value: "yes")], "on and off are words of the command line")
        #expect(faults(["refinement": []]) == [], "no setting of the group is there")
        #expect(faults(["surprise": 1]) == [])
    }

    @Test func jsonOfTheWrongKindIsRefusedByKey() throws {
        let cases: [(key: String, value: JSONValue)] = [
            ("prompt", 1), ("negative_prompt", .null), ("width", "512"), ("width", .number(512.5)), ("height", .bool(true)),
            ("steps", .number(1e300)), ("cfg_scale", "7"), ("seed", 42), ("seed", "-1"), ("seed", "18446744073709551616"),
            ("method", "auto "), ("method", 1), ("hidiffusion", "yes"), ("patch", .null), ("stride", []),
            ("structure_fraction", .number(0.5)), ("structure_fraction", "1.0"), ("structure_fraction", "0"),
            ("sampling_method", "sharp"), ("scheduler", "curved"), ("eta", "0"), ("surprise", 1), ("", .null),
            ("detail_cfg_scale", "7"), ("guidance_rescale", .null), ("clip_skip", .number(1.5)), ("original_size", [512, 512]),
            ("original_size", ["width": 512]), ("target_size", ["width": 512, "height": "512"]),
            ("crop_top_left", ["top": 0, "left": 0, "right": 0]), ("hidiffusion_family", "flux"),
            ("stages", 2), ("stages", ["2"]), ("stages", [.null]), ("stages", .array([JSONValue](repeating: 1, count: 9))),
            ("structure", "half"), ("blend", "linear"), ("jitter", .number(0.5)),
            ("refinement", []), ("refinement", ["upscaler": "esrgan"]), ("refinement", ["strength": "0.5"]),
            ("refinement", ["steps": .number(1.5)]), ("refinement", ["tiled": 1]), ("refinement", ["scale": 2]),
            ("hidiffusion_settings", true), ("hidiffusion_settings", ["raunet": 0]), ("hidiffusion_settings", ["t1": "0.4"]),
            ("hidiffusion_settings", ["window_attn": .null]), ("hidiffusion_settings", ["t3": 1]),
            ("token_reduction", "tome"), ("precision", "f16"), ("precision", 16),
        ]
        for (key, value) in cases {
            var object = JSONObject()
            object[key] = value
            let error = refusal { _ = try RenderRequest(metadata: .object(object)) }
            #expect(error?.code == .invalidRequest && error?.isSentence == true, "\(key)")
            #expect(error?.message.contains("\"\(key)\"") == true, "\(key): \(error?.message ?? "accepted")")
        }
        for json: JSONValue in [.null, [], "request", 7] {
            #expect(refusal { _ = try RenderRequest(metadata: json) }?.code == .invalidRequest)
        }
    }

    /// Random damage to a request as a client sends it: refused in a sentence, or a request that can be written, read and
    /// resolved without a trap.
    @Test func damageIsRefusedOrAnotherRequest() throws {
        let model = try ModelVariant.embedded.get()
        var sent = Self.staged
        (sent.refinement.tiled, sent.hiDiffusionSettings.aggressive) = (nil, nil)
        _ = try RenderMachine(request: sent, model: model)
        var generator = SeededGenerator(seed: 31)
        var (refused, read) = (0, 0)
        for _ in 0..<3000 {
            let bytes = Mutation.mutate(sent.json.canonicalBytes(), using: &generator)
            guard let json = try? JSONValue(parsing: bytes, limits: .wire) else { continue }
            do {
                let request = try RenderRequest(metadata: json)
                #expect(try RenderRequest(metadata: request.json) == request)
                _ = try RenderMachine(request: request, model: model)
                read += 1
            } catch {
                #expect(error.isSentence, "\(error)")
                refused += 1
            }
        }
        #expect(refused > 100 && read > 10, "\(refused) refused, \(read) read")
    }

    @Test func numbersBeyondAFloatAreRefused() {
        for key in ["cfg_scale", "eta", "detail_cfg_scale", "guidance_rescale"] {
            var object = JSONObject()
            object[key] = .number(1e300)
            #expect(refusal { _ = try RenderRequest(metadata: .object(object)) }?.code == .invalidRequest)
        }
    }
}
