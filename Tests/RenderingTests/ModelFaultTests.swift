import EmbeddedModel
import Foundation
import Rendering
import Samplers
import StrictJSON
import TestSupport
import Testing
import Weights

/// Faults of a model that show only in some uses of it: they are told before the work begins, and as the model's.
@Suite struct ModelFaultTests {
    /// A scheduler that is read may ask for what no sampler does. Another sampler, where the user chooses one, does without.
    @Test(arguments: [
        ("DDIMScheduler", "thresholding", JSONValue.bool(true), "euler"),
        ("EulerDiscreteScheduler", "use_beta_sigmas", .bool(true), "ddim"),
        ("EulerDiscreteScheduler", "interpolation_type", .string("cubic"), "ddim"),
        ("DPMSolverMultistepScheduler", "use_flow_sigmas", .bool(true), "ddim"),
        ("DDPMScheduler", "variance_type", .string("learned_range"), "euler"),
        ("PNDMScheduler", "rescale_betas_zero_snr", .bool(true), "ddim"),
    ])
    func aSchedulerThatCannotBeDone(_ name: String, _ key: String, _ value: JSONValue, _ other: String) throws {
        let model = try ModelDescription(
            source: ModelVariant.source(
                changing: "scheduler/scheduler_config.json", ["_class_name": .string(name), key: value]))
        let inspected = try #require(refusal { try model.checkOwnSampler() })
        #expect(inspected.code == .badModel && inspected.isSentence, "\(inspected)")
        #expect(inspected.message.contains(key), "\(inspected)")
        #expect(refusal { _ = try RenderMachine(request: request { _ in }, model: model) } == inspected)
        let chosen = try SamplerName(other).method
        _ = try RenderMachine(request: request { $0.samplingMethod = chosen }, model: model)
    }

    @Test func theUsersChoiceIsNotTheModelsFault() throws {
        let model = try ModelDescription(
            source: ModelVariant.source(changing: "scheduler/scheduler_config.json", ["thresholding": .bool(true)]))
        let chosen = try #require(
            refusal { _ = try RenderMachine(request: request { $0.samplingMethod = .dpmpp2m }, model: model) })
        #expect(chosen.code == .invalidRequest, "\(chosen)")
        try ModelVariant.embedded.get().checkOwnSampler()
    }

    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Sources/CEmbeddedModel/model")
    private static let vaeFile = "vae/diffusion_pytorch_model.safetensors"

    /// The embedded model, with other tensors in its autoencoder.
    private static func model(_ change: (inout [FileTensor]) -> Void) throws -> ModelSource {
        var tensors = try SingleFiles.tensors(of: "vae", in: folder)
        change(&tensors)
        return ModelVariant.source([vaeFile: FileTensor.file(tensors)])
    }

    /// Some models are published with a decoder alone. They make pictures, as long as no picture has to become a latent.
    @Test func aModelWithoutAnEncoder() throws {
        let model = try ModelDescription(source: Self.model { $0.removeAll { $0.name.hasPrefix("encoder.") } })
        func make(_ change: @escaping (inout RenderRequest) -> Void) -> RenderError? {
            refusal { _ = try RenderMachine(request: request(change), model: model) }
        }
        #expect(make { _ in } == nil)
        #expect(make { ($0.method, $0.width, $0.height, $0.stages) = (.cut, 256, 256, []) } == nil)
        let stages: (inout RenderRequest) -> Void = {
            ($0.method, $0.width, $0.height, $0.stages) = (.hires, 256, 256, [1])
        }
        for upscaler in [Upscaler.latent, .latentBicubic, .latentNearest] {
            #expect(
                make {
                    stages(&$0)
                    $0.refinement.upscaler = upscaler
                } == nil)
        }
        let enlarged = try #require(
            make {
                stages(&$0)
                $0.refinement.upscaler = .lanczos
            })
        #expect(enlarged.code == .badModel && enlarged.isSentence && enlarged.message.contains("--vae"), "\(enlarged)")
        let picture = try SourcePicture(width: 128, height: 128, rgb: [UInt8](repeating: 9, count: 128 * 128 * 3))
        let started = try #require(make { ($0.width, $0.height, $0.source) = (128, 128, picture) })
        #expect(started.code == .badModel && started.message.contains("a picture to start from"), "\(started)")
    }

    /// Part of an encoder is a damaged one.
    @Test func halfAnEncoderIsRefused() throws {
        for name in ["encoder.conv_in.weight", "encoder.conv_out.bias"] {
            let fault = try #require(
                refusal { _ = try ModelDescription(source: Self.model { $0.removeAll { $0.name == name } }) })
            #expect(fault.code == .badModel && fault.message.contains(name), "\(fault)")
        }
        let stray = FileTensor.f32("encoder.stray.weight", [1], shape: [1])
        let fault = try #require(refusal { _ = try ModelDescription(source: Self.model { $0.append(stray) }) })
        #expect(fault.code == .badModel && fault.message.contains("encoder.stray.weight"), "\(fault)")
    }
}
