import Foundation
import GoldenCases
import TensorCore
import TestSupport
import Testing

@Suite struct CommittedCasesTests {
    private static let golden = Fixtures.folder.appendingPathComponent("golden")

    @Test(arguments: [BackendChoice.onednn, .openblas])
    func everyCommittedCasePasses(backend: BackendChoice) throws {
        let runner = try GoldenRunner(backend: backend, threads: 1)
        #expect(runner.backendName == backend.rawValue)
        let folders = try GoldenRunner.caseFolders(below: Self.golden.path)
        var tensors = 0
        var kinds: Set<String> = []
        for folder in folders {
            let result = runner.run(folder)
            kinds.insert(result.kind)
            guard case .passed(_, let count, _) = result.outcome else {
                Issue.record("\(folder): \(result.outcome)")
                continue
            }
            tensors += count
        }
        // Fixtures that went missing would pass unseen.
        #expect(folders.count >= 178 && tensors >= 1606, "\(folders.count) cases, \(tensors) tensors")
        let wanted: Set<String> = [
            "cutdiffusion_detail", "cutdiffusion_interaction", "cutdiffusion_pipeline", "cutdiffusion_relocation",
            "cutdiffusion_views", "file_refusal", "hidiffusion_block", "hidiffusion_ops", "hidiffusion_pipeline",
            "hidiffusion_stages", "hidiffusion_todo", "hidiffusion_unet", "img2img", "inpaint", "lora", "rng", "scheduler",
            "scheduler_add_noise", "scheduler_table", "text_encode", "todo_block", "todo_indices", "todo_unet", "tokenizer",
            "tome_block", "tome_plan", "tome_unet", "txt2img", "unet_forward", "vae_decode",
            "vae_decode_tiled", "vae_encode", "vae_encode_tiled",
        ]
        #expect(kinds == wanted)
    }

    /// From the seed, with our own noise, to the 8-bit picture that diffusers makes.
    @Test(arguments: [BackendChoice.onednn, .openblas])
    func theModelInsideTheProgramDrawsTheReferencePicture(backend: BackendChoice) throws {
        let runner = try GoldenRunner(backend: backend, threads: 1)
        let folder = Self.golden.appendingPathComponent("cases/txt2img/openmoji-24-red-apple")
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(Set(names) == ["case.json", "expected.safetensors"], "no stored latent may stand in for the seed")
        guard case .passed(let error, _, let decibels) = runner.run(folder.path).outcome else {
            Issue.record("\(runner.run(folder.path).outcome)")
            return
        }
        let reached = try #require(decibels)
        print("embedded model, \(backend.rawValue): PSNR \(reached) dB, largest error of latents \(error)")
        #expect(reached >= 45)
    }

    /// The full set of reference cases, where it is at hand. None is left out.
    @Test(.enabled(if: Fixtures.sharedGolden != nil), arguments: [BackendChoice.onednn, .openblas])
    func everyReferenceCasePasses(backend: BackendChoice) throws {
        let golden = try #require(Fixtures.sharedGolden)
        let runner = try GoldenRunner(backend: backend, threads: 1)
        var passed = 0
        for folder in try GoldenRunner.caseFolders(below: golden.appendingPathComponent("cases").path) {
            let result = runner.run(folder)
            if case .passed = result.outcome { passed += 1 } else { Issue.record("\(folder): \(result.outcome)") }
        }
        #expect(passed >= 447)
    }
}
