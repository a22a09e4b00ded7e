import Acceleration
import PatchGeometry
import Samplers
import StrictJSON
import Testing
import Weights

@testable import Rendering

/// A render whose plan is compared with its tasks. Guidance is 6 and steps are 6. Half of the calls of a cut canvas are
/// structure. A source picture or an enlarged pass of which a third is given up makes only the last calls, so it has none of
/// these.
struct ScheduleCase: CustomTestStringConvertible, Sendable {
    enum Model: Sendable { case embedded, inpainting, sdxl, edm }

    var testDescription: String
    var model = Model.embedded
    /// The size of the picture in pixels.
    var size = (width: 256, height: 256)
    var sampler: SamplingMethod?
    /// The source picture's strength; nil without one.
    var source: (strength: Float, isMasked: Bool)?
    var change: @Sendable (inout RenderRequest) -> Void = { _ in }
    var passes: @Sendable () -> [ExpectedPass]
    var tokens: @Sendable (_ pass: Int, _ position: Int, _ count: Int) -> [Int: TokenReduction] = { _, _, _ in [:] }

    func with(_ sampler: SamplingMethod) -> ScheduleCase {
        var other = self
        other.sampler = sampler
        if [.edmEuler, .edmDPMpp2m].contains(sampler) { other.model = .edm }
        other.testDescription = "\(testDescription), \(sampler.rawValue)"
        return other
    }

    func request() throws -> RenderRequest {
        var request = RenderRequest()
        (request.prompt, request.seed, request.steps, request.guidanceScale) = ("a red apple", 5, 6, 6)
        (request.width, request.height, request.samplingMethod) = (size.width, size.height, sampler)
        if let source {
            request.strength = source.strength
            request.source = try SourceMachineTests.picture(size.width, size.height, masked: source.isMasked)
        }
        change(&request)
        return request
    }

    static let models = Result {
        let inpainting = try ModelDescription(source: GoldenModels.source("tiny-sd15-inpaint"))
        let edm: [String: JSONValue] = ["_class_name": "EDMEulerScheduler", "sigma_data": 0.5]
        return [
            Model.embedded: try ModelVariant.embedded.get(), .inpainting: inpainting,
            .sdxl: try ModelDescription(source: GoldenModels.sdxl()),
            .edm: try ModelDescription(source: ModelVariant.source(changing: "scheduler/scheduler_config.json", edm)),
        ]
    }

    func description() throws -> ModelDescription { try #require(Self.models.get()[model]) }
}

extension ScheduleCase {
    /// Every method, and every setting that changes calls.
    static let all: [ScheduleCase] = [whole, cut, stages, views, sources, tokens, xl].flatMap(\.self)

    static let whole = [
        ScheduleCase(testDescription: "auto at the native size", size: (128, 128), passes: { [.whole(16, 16)] }),
        ScheduleCase(
            testDescription: "direct, HiDiffusion as it comes", change: { $0.method = .direct },
            passes: { [.whole(32, 32, hiDiffusion: true)] }),
        ScheduleCase(
            testDescription: "direct, HiDiffusion off", size: (264, 200),
            change: { ($0.method, $0.hiDiffusion) = (.direct, .off) },
            passes: { [.whole(25, 33)] }),
        ScheduleCase(
            testDescription: "direct, windows alone",
            change: { ($0.method, $0.hiDiffusionSettings.raunet) = (.direct, false) },
            passes: { [.whole(32, 32, hiDiffusion: true)] }),
        ScheduleCase(
            testDescription: "direct, RAU-Net alone",
            change: {
                ($0.method, $0.hiDiffusionSettings.windows, $0.hiDiffusionSettings.t1) = (.direct, false, 0.7)
            }, passes: { [.whole(32, 32, hiDiffusion: true)] }),
    ]

    static let cut = [
        ScheduleCase(
            testDescription: "cut", change: { ($0.method, $0.structureFraction) = (.cut, .half) },
            passes: { [.cut(32, 32)] }),
        ScheduleCase(
            testDescription: "cut, still", size: (200, 328),
            change: { ($0.method, $0.structureFraction, $0.jitter) = (.cut, .half, 0) },
            passes: { [.cut(41, 25, jitter: 0)] }),
        ScheduleCase(
            testDescription: "cut, moved and feathered, views guided otherwise",
            change: {
                ($0.method, $0.structureFraction, $0.jitter, $0.blending) = (.cut, .half, 16, .feather)
                $0.detailGuidanceScale = 1
            }, passes: { [.cut(32, 32, jitter: 2).with { $0.viewGuidance = 1 }] }),
        ScheduleCase(
            testDescription: "cut, the whole canvas first",
            change: { ($0.method, $0.structureFraction, $0.structure) = (.cut, .half, .whole) },
            passes: {
                [
                    .cut(32, 32).with {
                        $0.cut?.patch = 32
                        $0.hiDiffusion.first = true
                    }
                ]
            }),
        ScheduleCase(
            testDescription: "cut in large patches, HiDiffusion on", size: (384, 384),
            change: {
                ($0.method, $0.structureFraction, $0.patch, $0.stride, $0.hiDiffusion) = (.cut, .half, 256, 192, .on)
            },
            passes: {
                [
                    ExpectedPass(
                        height: 48, width: 48, cut: .init(patch: 32, view: 32, stride: 24), hiDiffusion: (true, true))
                ]
            }),
    ]

    static let stages = [
        ScheduleCase(
            testDescription: "auto in stages", size: (320, 320),
            change: { ($0.refinement.strength, $0.detailGuidanceScale) = (0.34, 1) },
            passes: {
                [
                    .whole(16, 16), refined(.views(32, 32, jitter: 0, strength: 0.34)),
                    refined(.views(40, 40, jitter: 0, strength: 0.34)),
                ]
            }),
        ScheduleCase(
            testDescription: "cut in stages, each with its structure", size: (384, 384),
            change: {
                ($0.method, $0.structureFraction, $0.stages, $0.refinement.upscaler) = (.cut, .half, [2], .latent)
                ($0.refinement.strength, $0.jitter, $0.detailGuidanceScale) = (0.84, 16, 3)
            },
            passes: {
                [
                    .cut(32, 32, jitter: 2).with { $0.viewGuidance = 3 },
                    .cut(48, 48, jitter: 2, strength: 0.84).with { $0.viewGuidance = 3 },
                ]
            }),
        ScheduleCase(
            testDescription: "hires", change: { $0.method = .hires },
            passes: { [.whole(16, 16), enlarged(.whole(32, 32, strength: 0.5))] }),
        ScheduleCase(
            testDescription: "hires, steps of its own, HiDiffusion on",
            change: {
                ($0.method, $0.hiDiffusion, $0.refinement.steps) = (.hires, .on, 9)
                ($0.refinement.upscaler, $0.refinement.strength) = (.latentNearest, 0.7)
            },
            passes: { [.whole(16, 16), .whole(32, 32, hiDiffusion: true, strength: 0.7).with { $0.steps = 9 }] }),
        ScheduleCase(
            testDescription: "hires in views", change: { ($0.method, $0.refinement.tiled) = (.hires, true) },
            passes: { [.whole(16, 16), refined(.views(32, 32, jitter: 0, strength: 0.5))] }),
    ]

    static let views = [
        ScheduleCase(
            testDescription: "multidiffusion", change: { $0.method = .multidiffusion }, passes: { [.views(32, 32)] }),
        ScheduleCase(
            testDescription: "multidiffusion, still and feathered", size: (328, 200),
            change: { ($0.method, $0.jitter, $0.blending) = (.multidiffusion, 0, .feather) },
            passes: { [.views(25, 41, jitter: 0)] }),
        ScheduleCase(
            testDescription: "multidiffusion, no view guided",
            change: { ($0.method, $0.detailGuidanceScale, $0.negativePrompt) = (.multidiffusion, 1, "a pear") },
            passes: { [.views(32, 32).with { $0.viewGuidance = 1 }] }),
    ]

    static let sources = [
        ScheduleCase(
            testDescription: "img2img", source: (0.5, false), change: { ($0.method, $0.hiDiffusion) = (.direct, .off) },
            passes: { [.whole(32, 32, strength: 0.5)] }),
        ScheduleCase(
            testDescription: "img2img under HiDiffusion", source: (0.84, false), change: { $0.method = .direct },
            passes: { [.whole(32, 32, hiDiffusion: true, strength: 0.84)] }),
        ScheduleCase(
            testDescription: "img2img, cut", source: (0.84, false),
            change: { ($0.method, $0.structureFraction) = (.cut, .half) }, passes: { [.cut(32, 32, strength: 0.84)] }),
        ScheduleCase(
            testDescription: "img2img, cut, too little noise for structure", source: (0.34, false),
            change: { ($0.method, $0.structureFraction) = (.cut, .half) }, passes: { [.cut(32, 32, strength: 0.34)] }),
        ScheduleCase(
            testDescription: "inpainting, multidiffusion", source: (0.67, true), change: { $0.method = .multidiffusion },
            passes: { [.views(32, 32, strength: 0.67)] }),
        ScheduleCase(
            testDescription: "inpainting, cut", source: (1, true),
            change: { ($0.method, $0.structureFraction) = (.cut, .half) }, passes: { [.cut(32, 32, strength: 1)] }),
        ScheduleCase(
            testDescription: "inpainting by nine channels", model: .inpainting, size: (80, 64), source: (0.5, true),
            change: { ($0.method, $0.hiDiffusion) = (.direct, .off) }, passes: { [.whole(8, 10, strength: 0.5)] }),
        ScheduleCase(
            testDescription: "inpainting by nine channels, all of it", model: .inpainting, size: (80, 64), source: (1, true),
            change: { ($0.method, $0.hiDiffusion) = (.direct, .off) }, passes: { [.whole(8, 10, strength: 1)] }),
    ]

    private static func merging(_ ratio: Double) -> [Int: TokenReduction] { [1: .merging(TokenMerging(ratio: ratio))] }

    static let tokens = [
        ScheduleCase(
            testDescription: "merging in a share of the steps",
            change: {
                ($0.method, $0.hiDiffusion, $0.tokenReduction) = (.direct, .off, TokenReductionRequest())
                $0.tokenReduction?.merging = .init(ratio: 0.5)
                $0.tokenReduction?.start = 0.2
                $0.tokenReduction?.end = 0.8
            }, passes: { [.whole(32, 32)] },
            tokens: { _, position, count in
                (Int(Double(count) * 0.2)..<Int(Double(count) * 0.8)).contains(position) ? merging(0.5) : [:]
            }),
        ScheduleCase(
            testDescription: "merging in later stages alone",
            change: {
                ($0.method, $0.stages, $0.tokenReduction) = (.hires, [1, 1.5], TokenReductionRequest())
                $0.tokenReduction?.merging = .init(ratio: 0.25)
                $0.tokenReduction?.stages = .later
            },
            passes: {
                [.whole(16, 16), enlarged(.whole(24, 24, strength: 0.5)), enlarged(.whole(32, 32, strength: 0.5))]
            },
            tokens: { pass, _, _ in pass > 0 ? merging(0.25) : [:] }),
        ScheduleCase(
            testDescription: "merging in patches and views",
            change: {
                ($0.method, $0.structureFraction, $0.tokenReduction) = (.cut, .half, TokenReductionRequest())
                $0.tokenReduction?.merging = .init(ratio: 0.5)
            }, passes: { [.cut(32, 32)] }, tokens: { _, _, _ in merging(0.5) }),
        ScheduleCase(
            testDescription: "downsampling under HiDiffusion", size: (384, 384),
            change: {
                ($0.method, $0.tokenReduction) = (.direct, TokenReductionRequest())
                $0.tokenReduction?.downsampling = .init(factors: [2])
            }, passes: { [.whole(48, 48, hiDiffusion: true)] },
            tokens: { _, _, _ in [1: .downsampling(TokenDownsampling(factor: 2))] }),
    ]

    /// The model's native size is that of its configuration.
    static let xl = [
        ScheduleCase(
            testDescription: "SDXL, direct", model: .sdxl, size: (80, 64),
            change: { ($0.method, $0.hiDiffusion) = (.direct, .off) }, passes: { [.whole(8, 10)] }),
        ScheduleCase(
            testDescription: "SDXL in views", model: .sdxl, size: (128, 160),
            change: { ($0.method, $0.hiDiffusion, $0.patch, $0.stride) = (.multidiffusion, .off, 64, 32) },
            passes: {
                [.views(20, 16).with { $0.cut = .init(patch: 8, view: 8, stride: 4, hasStructure: false) }]
            }),
        ScheduleCase(
            testDescription: "SDXL under HiDiffusion", model: .sdxl, size: (192, 192),
            change: { ($0.method, $0.hiDiffusion) = (.direct, .on) }, passes: { [.whole(24, 24, hiDiffusion: true)] }),
    ]

    private static func refined(_ pass: ExpectedPass) -> ExpectedPass { enlarged(pass).with { $0.viewGuidance = 1 } }

    private static func enlarged(_ pass: ExpectedPass) -> ExpectedPass { pass.with { $0.isEnlargedAsPicture = true } }
}
