import Samplers
import Testing

@Suite struct NameTests {
    @Test func namesOfOtherProgramsAreUnderstood() throws {
        let cases: [(String, SamplingMethod, NoiseScheduleKind?)] = [
            ("Euler a", .eulerAncestral, nil), ("euler_a", .eulerAncestral, nil), ("Euler", .euler, nil), ("LMS", .lms, nil),
            ("LMS Karras", .lms, .karras), ("DPM2 a Karras", .dpm2Ancestral, .karras), ("DPM++ 2M", .dpmpp2m, nil),
            ("DPM++ 2M Karras", .dpmpp2m, .karras), ("dpm++2m_karras", .dpmpp2m, .karras), ("dpmpp_2m", .dpmpp2m, nil),
            ("DPM++ SDE Karras", .dpmppSDE, .karras), ("dpmpp_sde", .dpmppSDE, nil), ("DPM++ 2M SDE", .dpmpp2mSDE, nil),
            ("DPM++ 2M SDE Exponential", .dpmpp2mSDE, .exponential), ("DPM++ 2S a", .dpmpp2sAncestral, nil),
            ("dpm++2s_a", .dpmpp2sAncestral, nil), ("dpmpp_2s_ancestral", .dpmpp2sAncestral, nil), ("PLMS", .pndm, nil),
            ("UniPC", .unipc, nil), ("ddim_trailing", .ddim, .trailing), ("LCM", .lcm, nil), ("tcd", .tcd, nil),
            ("euler-SGM uniform", .euler, .sgmUniform), ("EulerAncestralDiscreteScheduler", .eulerAncestral, nil),
        ]
        for (text, method, kind) in cases {
            let name = try SamplerName(text)
            #expect(name.method == method && name.noiseSchedule == kind, "\(text)")
        }
        for method in SamplingMethod.allCases {
            #expect(try SamplerName(method.rawValue).method == method)
            #expect(try SamplerName(method.label).method == method)
        }
        for kind in NoiseScheduleKind.allCases {
            #expect(try NoiseScheduleKind(name: kind.rawValue) == kind)
            #expect(try NoiseScheduleKind(name: kind.label) == kind)
        }
        #expect(try NoiseScheduleKind(name: "SGM Uniform") == .sgmUniform)
    }

    @Test(arguments: ["", "karras", "dpm++2mv2", "DPM adaptive", "res_multistep", String(repeating: "e", count: 9999)])
    func unknownNamesAreRefusedWithACure(_ text: String) {
        let error = #expect(throws: SamplerError.self) { try SamplerName(text) }
        #expect(error?.message.contains("choose") == true && (error?.message.utf8.count ?? 0) < 400)
    }

    @Test func combinationsWithoutMeaningAreRefusedWithACure() throws {
        let cases: [(SamplingMethod, NoiseScheduleKind, String)] = [
            (.lcm, .karras, "leave the schedule out"), (.ddim, .karras, "discrete, leading, linspace, trailing"),
            (.pndm, .sgmUniform, "has no sigmas"), (.dpmpp2s, .leading, "last training step"),
            (.edmEuler, .trailing, "karras, exponential"),
        ]
        for (method, kind, part) in cases {
            let error = #expect(throws: SamplerError.self) {
                try Sampler(SamplerPropertyTests.configuration(method), method: method, noiseSchedule: kind, steps: 8)
            }
            #expect(error?.code == .badRequest && error?.message.contains(part) == true, "\(String(describing: error))")
        }
        for (method, model) in [(SamplingMethod.euler, SamplingMethod.edmEuler), (.edmDPMpp2m, .euler)] {
            let error = #expect(throws: SamplerError.self) {
                try Sampler(SamplerPropertyTests.configuration(model), method: method, steps: 8)
            }
            #expect(error?.message.contains("EDM") == true && error?.message.contains("choose") == true)
        }
        for (method, cure) in [(SamplingMethod.lcm, "leave eta out or choose ddim."), (.heun, "leave eta 0 or choose ddim.")] {
            let error = #expect(throws: SamplerError.self) {
                try Sampler(SamplerPropertyTests.configuration(method), method: method, steps: 8, eta: 0.5)
            }
            #expect(error?.message.hasSuffix(cure) == true, "\(error as Any)")
        }
    }

    /// The ends and shapes that the descriptions of the schedules promise.
    @Test func schedulesAreWhatTheySay() throws {
        func sampler(_ method: SamplingMethod, _ kind: NoiseScheduleKind) throws -> Sampler {
            try Sampler(SamplerPropertyTests.configuration(method), method: method, noiseSchedule: kind, steps: 4)
        }
        #expect(try sampler(.euler, .discrete).timesteps == [999, 666, 333, 0])
        #expect(try sampler(.dpmpp2m, .discrete).timesteps == [999, 666, 333, 0])
        #expect(try sampler(.euler, .sgmUniform).timesteps == [999, 749.25, 499.5, 249.75])
        #expect(try sampler(.dpmpp2m, .sgmUniform).timesteps == [999, 749, 500, 250])
        #expect(try sampler(.euler, .trailing).timesteps == [999, 749, 499, 249])
        #expect(try sampler(.euler, .leading).timesteps == [751, 501, 251, 1])
        for method in [SamplingMethod.euler, .dpmpp2m, .lms, .unipc] {
            let trained = try sampler(method, .karras).noiseSchedule.sigmas
            for kind in [NoiseScheduleKind.karras, .exponential] {
                let sigmas = try sampler(method, kind).sigmas
                #expect(abs(sigmas[0] - trained[999]) < 1e-4 && abs(sigmas[3] - trained[0]) < 1e-6 && sigmas[4] == 0)
            }
            let even = try sampler(method, .exponential).sigmas
            #expect(abs(even[1] * even[1] - even[0] * even[2]) < 1e-4 * even[0])
        }
    }
}
