import EmbeddedModel
import Foundation
import Rendering
import Samplers
import Sentences
import StrictJSON
import TestSupport
import Testing
import Weights

/// Faults of a model that show only in some uses of it: they are reported before the work begins, and as faults of the model.
@Suite struct ModelFaultTests {
    /// A scheduler that can be read may need something that no sampler has. Another sampler, chosen by the user, does without.
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

    /// A user's wrong choice has another remedy than a model's wrong configuration.
    @Test(
        arguments: [
            ("EulerDiscreteScheduler", "use_beta_sigmas", SamplingMethod.euler, [.ddim]),
            ("UniPCMultistepScheduler", "use_flow_sigmas", .unipc, [.euler]),
            ("PNDMScheduler", "rescale_betas_zero_snr", .pndm, [.ddim, .euler, .dpmpp2m]),
        ] as [(String, String, SamplingMethod, [SamplingMethod])])
    func theRemedyNamesTheOtherSamplers(
        _ name: String, _ key: String, _ own: SamplingMethod, _ others: [SamplingMethod]
    ) throws {
        let model = try ModelDescription(
            source: ModelVariant.source(
                changing: "scheduler/scheduler_config.json", ["_class_name": .string(name), key: true]))
        let inspected = try #require(refusal { try model.checkOwnSampler() })
        let chosen = try #require(
            refusal { _ = try RenderMachine(request: request { $0.samplingMethod = own }, model: model) })
        #expect(inspected.message != chosen.message, "\(chosen)")
        for message in [inspected.message, chosen.message] {
            #expect(message.contains(key), "\(message)")
            for other in others { #expect(message.contains(" \(other.rawValue)"), "\(message)") }
        }
    }

    /// A schedule of fewer steps than a picture usually takes is used whole. No model is refused for steps that nobody asked
    /// for.
    @Test(
        arguments: [
            ("LCMScheduler", ["original_inference_steps": 10], 10), ("TCDScheduler", ["original_inference_steps": 7], 7),
            ("EulerDiscreteScheduler", ["num_train_timesteps": 10, "timestep_spacing": "linspace"], 10),
            // The offset of Stable Diffusion's schedules takes one step away.
            ("DDIMScheduler", ["num_train_timesteps": 24], 23), ("PNDMScheduler", ["num_train_timesteps": 10], 9),
        ] as [(String, [String: JSONValue], Int)])
    func aShortScheduleIsNoFault(_ name: String, _ members: [String: JSONValue], _ most: Int) throws {
        let model = try ModelDescription(
            source: ModelVariant.source(
                changing: "scheduler/scheduler_config.json", members.merging(["_class_name": .string(name)]) { $1 }))
        try model.checkOwnSampler()
        for (steps, count) in [(nil, most), (5, 5), (most, most)] as [(Int?, Int)] {
            #expect(try RenderMachine(request: request { $0.steps = steps }, model: model).plan.steps == count)
        }
        // The same with the model's own sampler by its name, and a line says so.
        let plan = try RenderMachine(request: request { $0.steps = nil }, model: model).plan
        #expect(plan.notes.contains { $0.contains("allows \(most) steps") }, "\(plan.notes)")
        let named = try RenderMachine(
            request: request { ($0.steps, $0.samplingMethod) = (nil, plan.samplingMethod) }, model: model)
        #expect(named.plan.steps == most)
        // A number of steps that somebody asks for is refused where it is too large.
        let more = refusal { _ = try RenderMachine(request: request { $0.steps = most + 1 }, model: model) }
        #expect(more?.code == .invalidRequest && more?.message.contains("\(most + 1) steps") == true, "\(more as Any)")
    }

    @Test func aScheduleThatContradictsItselfIsStillAFault() throws {
        let model = try ModelDescription(
            source: ModelVariant.source(
                changing: "scheduler/scheduler_config.json",
                ["_class_name": "LCMScheduler", "original_inference_steps": 50, "num_train_timesteps": 20]))
        #expect(refusal { try model.checkOwnSampler() }?.code == .badModel)
    }

    private static let folder = Fixtures.embeddedModel
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
        #expect(enlarged.code == .badModel && enlarged.isSentence && enlarged.sentence.settings.contains(.vae), "\(enlarged)")
        let picture = try SourcePicture(width: 128, height: 128, rgb: [UInt8](repeating: 9, count: 128 * 128 * 3))
        let started = try #require(make { ($0.width, $0.height, $0.source) = (128, 128, picture) })
        #expect(started.code == .badModel && started.message.contains("a picture to start from"), "\(started)")
    }

    /// A part of an encoder counts as a damaged encoder.
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
