public import Acceleration
public import PatchGeometry
public import Samplers
public import Sentences
public import TensorCore

/// A user's request for a picture. Sizes are in pixels of the picture. The plan chooses a value for a property that is nil. The
/// table below declares each property as a setting.
public struct RenderRequest: SettingGroup {
    public var prompt = ""
    public var negativePrompt = ""
    /// The sides of the picture, multiples of 8.
    public var width = 512
    public var height = 512
    public var steps: Int?
    /// The strength of classifier-free guidance; up to 1 means no negative prompt and half the work.
    public var guidanceScale: Float?
    /// Guidance of views; nil is the model's recommendation where they refine a stage, else `guidanceScale`.
    public var detailGuidanceScale: Float?
    /// The share of the guided prediction that gets the prompt's deviation back, 0 to 1 (Lin et al. 2023, arXiv 2305.08891).
    public var guidanceRescale: Float = 0
    /// The hidden layer of the text encoder to read; 1 is the last, nil is the model's own.
    public var clipSkip: Int?
    /// SDXL's size conditioning; nil is the picture's size without a crop.
    public var originalSize: SizeConditioning.Size?
    public var cropTopLeft: SizeConditioning.Corner?
    public var targetSize: SizeConditioning.Size?
    /// The seed. It means the same as in diffusers with a CPU generator.
    public var seed: UInt64 = 42
    public var method = RenderMethod.auto
    public var hiDiffusion = HiDiffusionChoice.auto
    /// The halves of HiDiffusion that are on, and its thresholds.
    public var hiDiffusionSettings = HiDiffusionSettings.published
    /// HiDiffusion's profile; nil is the profile of the model's kind.
    public var hiDiffusionProfile: HiDiffusionProfile?
    /// Side of a patch; nil is the model's native size.
    public var patch: Int?
    /// Distance of neighbouring views in the detail phase; nil is half a patch.
    public var stride: Int?
    /// The largest random move of a view; nil is the model's recommendation where views refine a stage, else a quarter of the
    /// overlap of neighbours, as published.
    public var jitter: Int?
    /// The blending of overlapping views; nil is the recommendation where views refine a stage, else `uniform`.
    public var blending: ViewBlending?
    /// Side of the tiles in which the autoencoder decodes the picture. nil is as large as a worker's memory allows, or with
    /// `blend` the model's native size. Exact tiles do not show in the picture.
    public var vaeTileSize: Int?
    /// The way to decode the tiles.
    public var vaeTiling = VAETiling.exact
    /// Share of the steps in CutDiffusion's structure phase.
    public var structureFraction: StructureFraction?
    /// The network's input in CutDiffusion's structure phase; nil is patches, as published.
    public var structure: StructureKind?
    /// The sizes before the picture's own, as rising multiples of the model's native size. Each later stage begins with the
    /// result of the one before. An empty list makes the picture at once; with nil, method and size decide.
    public var stages: [Double]?
    /// The way in which a larger stage begins with a smaller one's result.
    public var refinement = RefinementSettings()
    /// The sampling method; nil is the model's own scheduler.
    public var samplingMethod: SamplingMethod?
    /// The spread of the noise levels; `automatic` is the choice of the model's scheduler.
    public var noiseSchedule = NoiseScheduleKind.automatic
    /// The share of fresh noise of DDIM, TCD and the ancestral methods, 0 to 1; nil is the method's usual share.
    public var eta: Float?
    /// The picture to start from, of the requested size. A mask limits the work to a part of it.
    public var source: SourcePicture?
    /// The share of the source picture to give up, above 0, at most 1. The same share of the steps is made. Belongs to
    /// `source`.
    public var strength: Float?
    /// LoRA files beside the prompt's tags, in the order of merging.
    public var loras: [LoRASelection] = []
    /// Token merging and downsampling; nil keeps all tokens.
    public var tokenReduction: TokenReductionRequest?
    /// The arithmetic of the networks. With `auto` each worker decides by its CPU, and all workers of a picture have the same.
    public var precision = PrecisionChoice.auto
    /// The prompt of SDXL's second text encoder; nil is the same prompt. Like `negativeSizes` it serves recordings of
    /// diffusers, and neither the command line nor the wire has it.
    package var secondPrompt: String?
    /// The size conditioning of SDXL's negative half; nil is the prompt's.
    package var negativeSizes: SizeConditioning?

    public init() {}

    /// The default of stable-diffusion.cpp and A1111.
    public static let defaultStrength: Float = 0.75

    /// The largest side of a picture, in pixels.
    public static let sideLimit = 16384

    /// Sides are multiples of it. It is the `scaleFactor` of all supported models.
    public static let sideMultiple = 8
    /// The most steps of one picture.
    public static let stepLimit = 1000
    /// The most bytes of a prompt.
    public static let promptLimit = 8192
    /// The largest number of a layer, counted from the last.
    public static let clipSkipLimit = 100
    /// The most sizes before the last.
    public static let stageLimit = 8
}

extension RenderRequest {
    public static let settings: [RequestSetting<RenderRequest>] =
        basics + conditioning + refinement + layout + hiDiffusion + tokenReduction

    private static let basics: [RequestSetting<RenderRequest>] = [
        RequestSetting(.prompt, \.prompt, .text).checked { request throws(RenderError) in
            try checkText(request.prompt, "prompt")
        },
        RequestSetting(.negativePrompt, \.negativePrompt, .text)
            .checked { request throws(RenderError) in try checkText(request.negativePrompt, "negative prompt") },
        RequestSetting(.lora, \.loras, LoRASelection.list, written: .unlessDefault)
            .said { $1.loras.append(LoRASelection(word: $0)) }
            .checked { request throws(RenderError) in _ = try request.selectedLoRAs() },
        RequestSetting(.steps, \.steps, .whole, SettingRange(1...stepLimit) { "\($0) steps are" })
            .shown("Steps") { String($0.plan.steps) },
        RequestSetting(.samplingMethod, \.samplingMethod, .choice)
            .said { word, request throws(RenderError) in try request.takeSampler(word) }
            .shown("Sampler") { $0.plan.samplingMethod.label },
        RequestSetting(.scheduler, \.noiseSchedule, .choice, written: .unlessDefault)
            .said { word, request throws(RenderError) in try request.takeSchedule(word) }
            .shown("Schedule type") { $0.plan.noiseSchedule.label },
        RequestSetting(.cfgScale, \.guidanceScale, .float, SettingRange(0...50) { "A guidance scale of \($0) is" })
            .shown("CFG scale") { short($0.plan.guidanceScale) },
        RequestSetting(.seed, \.seed, .wide).shown("Seed") { String($0.plan.seed) },
        RequestSetting(.width, \.width, .whole, .side("width", 64...sideLimit))
            .shown("Size") { "\($0.plan.width)x\($0.plan.height)" },
        RequestSetting(.height, \.height, .whole, .side("height", 64...sideLimit)),
        RequestSetting(nil).shown(\.modelPairs),
        .source.checked { request throws(RenderError) in try request.checkSource() },
        RequestSetting(.strength, \.strength, .float, SettingRange(0...1, isOpen: true) { "A strength of \($0) is" })
            .shown("Denoising strength") { parameters in parameters.plan.source.map { short(Float($0.strength)) } },
    ]

    private static let conditioning: [RequestSetting<RenderRequest>] = [
        RequestSetting(
            .clipSkip, \.clipSkip, .whole,
            SettingRange(1...clipSkipLimit, choose: "1, the last layer, to \(clipSkipLimit)") { "A clip skip of \($0) is" }
        )
        .said { word, request throws(RenderError) in
            // In other programs 0 and less mean the model's own.
            let layer = try SettingKind.whole.value(word, of: .clipSkip)
            request.clipSkip = layer < 1 ? nil : layer
        }
        .shown("Clip skip") { $0.plan.clipSkip > $0.model.clipSkip ? String($0.plan.clipSkip) : nil },
        RequestSetting(
            .guidanceRescale, \.guidanceRescale, .float, SettingRange(0...1) { "A guidance rescale of \($0) is" }
        )
        .shown("CFG Rescale") { $0.plan.guidanceRescale > 0 ? short($0.plan.guidanceRescale) : nil },
        RequestSetting(
            .detailCfgScale, \.detailGuidanceScale, .float,
            SettingRange(0...50) { "A guidance scale of \($0) in the detail phase is" }
        )
        .used(.views)
        .shown("Detail CFG scale") {
            $0.plan.detailGuidanceScale == $0.plan.guidanceScale ? nil : short($0.plan.detailGuidanceScale)
        },
        RequestSetting(.originalSize, \.originalSize, SizeConditioning.Size.kind)
            .checked { request throws(RenderError) in try request.originalSize?.validated("original size", .originalSize) },
        RequestSetting(.cropCoordsTopLeft, member: "crop_top_left", \.cropTopLeft, SizeConditioning.Corner.kind)
            .checked { request throws(RenderError) in try request.cropTopLeft?.validated() },
        RequestSetting(.targetSize, \.targetSize, SizeConditioning.Size.kind)
            .checked { request throws(RenderError) in try request.targetSize?.validated("target size", .targetSize) },
        // The web UI has an eta for DDIM and another for all other samplers.
        RequestSetting(.eta, \.eta, .float, SettingRange(0...1) { "An eta of \($0) is" })
            .shown { parameters in
                parameters.request.eta.map { [(parameters.plan.samplingMethod == .ddim ? "Eta DDIM" : "Eta", short($0))] } ?? []
            },
        // Without this line readers assume the graphics card's generator.
        RequestSetting(nil).shown { _ in [("RNG", "CPU")] },
        RequestSetting(.method, \.method, .choice).shown("Method") { $0.plan.method.rawValue },
        RequestSetting(.precision, \.precision, .choice, written: .unlessDefault)
            .shown("Precision") { $0.plan.precision == .auto ? nil : $0.plan.precision.rawValue },
    ]

    private static let refinement =
        RequestSetting<RenderRequest>.group(
            "refinement",
            get: { $0.refinement == RefinementSettings() ? nil : $0.refinement }, set: { $0.refinement = $1 })

    private static let layout: [RequestSetting<RenderRequest>] = [
        RequestSetting(.stages, \.stages, stageList)
            .used(.stages)
            .counts { $0.stages.map { !$0.isEmpty } ?? false }
            .checked { request throws(RenderError) in try request.checkStages() }
            .shown(\.stagePairs),
        RequestSetting(.patch, \.patch, .whole, .side("patch", 64...sideLimit)).used(.views).shown(\.cutPairs),
        RequestSetting(.stride, \.stride, .whole, .side("stride", sideMultiple...sideLimit)).used(.views)
            .shown("Stride") { parameters in parameters.plan.cut.map { String($0.stride * parameters.plan.latentScale) } },
        RequestSetting(.jitter, \.jitter, .whole, .side("jitter", 0...sideLimit)).used(.views)
            .shown("Jitter") { parameters in parameters.plan.cut.map { String($0.jitter * parameters.plan.latentScale) } },
        RequestSetting(.blend, \.blending, .choice).used(.views)
            .shown("Blend") { $0.plan.cut != nil && $0.plan.blending != .uniform ? $0.plan.blending.rawValue : nil },
        RequestSetting(.vaeTileSize, \.vaeTileSize, .whole, .side("VAE tile size", 64...sideLimit))
            .shown("VAE tile size") { parameters in
                parameters.plan.blendedTileSide.map { String($0 * parameters.plan.latentScale) }
            },
        RequestSetting(.vaeTiling, \.vaeTiling, .choice, written: .unlessDefault)
            .shown("VAE tiling") { $0.plan.blendedTileSide == nil ? nil : VAETiling.blend.rawValue },
        RequestSetting(.structureFraction, \.structureFraction, .fraction).used(.structure),
        RequestSetting(.structure, \.structure, .choice).used(.structure),
    ]

    private static let hiDiffusion: [RequestSetting<RenderRequest>] =
        [
            RequestSetting(.hidiffusion, \.hiDiffusion, .choice)
                .shown("HiDiffusion") {
                    $0.plan.hiDiffusionProfile == nil ? "off" : "on" + $0.plan.hiDiffusionSettings.summary
                },
            RequestSetting(.hidiffusionFamily, \.hiDiffusionProfile, .choice)
                .used(.hiDiffusionProfile)
                .said { word, request throws(RenderError) in try request.takeProfile(word) },
        ]
        // With HiDiffusion off these settings are not checked.
        + RequestSetting.group(
            "hidiffusion_settings",
            get: { $0.hiDiffusionSettings == .published ? nil : $0.hiDiffusionSettings },
            set: { $0.hiDiffusionSettings = $1 }, isChecked: { $0.hiDiffusion != .off })

    private static let tokenReduction =
        RequestSetting<RenderRequest>.group(
            "token_reduction",
            get: { $0.tokenReduction }, set: { $0.tokenReduction = $1 })
        + [RequestSetting(nil).shown { $0.plan.tokenReduction?.parameters ?? [] }]
}

// Names for sentences and other modules. A setting that nobody names needs only `Setting("key")` in the table.
extension Setting {
    public static let prompt = Setting("prompt")
    public static let negativePrompt = Setting("negative_prompt")
    public static let width = Setting("width", letter: "W")
    public static let height = Setting("height", letter: "H")
    public static let steps = Setting("steps")
    public static let cfgScale = Setting("cfg_scale")
    public static let detailCfgScale = Setting("detail_cfg_scale")
    public static let guidanceRescale = Setting("guidance_rescale")
    public static let clipSkip = Setting("clip_skip")
    public static let originalSize = Setting("original_size")
    public static let targetSize = Setting("target_size")
    public static let cropCoordsTopLeft = Setting("crop_coords_top_left")
    public static let seed = Setting("seed")
    public static let method = Setting("method")
    public static let hidiffusion = Setting("hidiffusion")
    public static let hidiffusionFamily = Setting("hidiffusion_family")
    public static let hidiffusionRaunet = Setting("hidiffusion_raunet")
    public static let hidiffusionWindowAttn = Setting("hidiffusion_window_attn")
    public static let hidiffusionT1 = Setting("hidiffusion_t1")
    public static let hidiffusionT2 = Setting("hidiffusion_t2")
    public static let hidiffusionAggressive = Setting("hidiffusion_aggressive")
    public static let patch = Setting("patch")
    public static let stride = Setting("stride")
    public static let jitter = Setting("jitter")
    public static let blend = Setting("blend")
    public static let structure = Setting("structure")
    public static let vaeTileSize = Setting("vae_tile_size")
    public static let vaeTiling = Setting("vae_tiling")
    public static let structureFraction = Setting("structure_fraction")
    public static let stages = Setting("stages")
    public static let denoisingStrength = Setting("denoising_strength")
    public static let hiresUpscaler = Setting("hires_upscaler")
    public static let hiresSteps = Setting("hires_steps")
    public static let hiresTiled = Setting("hires_tiled")
    public static let samplingMethod = Setting("sampling_method")
    public static let scheduler = Setting("scheduler")
    public static let eta = Setting("eta")
    public static let strength = Setting("strength")
    public static let tomeRatio = Setting("tome_ratio")
    public static let tomeFinalRatio = Setting("tome_final_ratio")
    public static let tomeHiresRatio = Setting("tome_hires_ratio")
    public static let tomeSx = Setting("tome_sx")
    public static let tomeSy = Setting("tome_sy")
    public static let tomeMaxDownsample = Setting("tome_max_downsample")
    public static let tomeLevels = Setting("tome_levels")
    public static let tomeLayers = Setting("tome_layers")
    public static let tomeDestinations = Setting("tome_destinations")
    public static let tomeQueriesOnly = Setting("tome_queries_only")
    public static let todoFactor = Setting("todo_factor")
    public static let todoMaxDepth = Setting("todo_max_depth")
    public static let todoMethod = Setting("todo_method")
    public static let todoScope = Setting("todo_scope")
    public static let tokenSteps = Setting("token_steps")
    public static let tokenStages = Setting("token_stages")
}
