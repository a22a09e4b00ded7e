import Foundation
import StrictJSON
import TestSupport
import Testing
import Weights

/// The meaning of a model's configuration where its files are old or wrong.
@Suite struct ModelConfigurationTests {
    private static let published: JSONValue = [320, 640, 1280, 1280]

    /// A model of configuration files alone.
    private func configuration(
        unet: JSONValue = ["sample_size": 64], scheduler: JSONValue = ["steps_offset": 1, "clip_sample": false]
    ) throws -> ModelConfiguration {
        let files = ["unet/config.json": unet, "vae/config.json": [:], "scheduler/scheduler_config.json": scheduler]
        return try ModelConfiguration(
            .embedded(name: "old", files: files.mapValues { permanent($0.canonicalBytes()) }))
    }

    private func side(_ members: [String: JSONValue], velocity: Bool = false) throws -> (side: Int?, isNoted: Bool) {
        var unet = JSONObject()
        for (key, value) in members { unet[key] = value }
        let found = try configuration(
            unet: .object(unet),
            scheduler: velocity
                ? ["steps_offset": 1, "clip_sample": false, "prediction_type": "v_prediction"]
                : ["steps_offset": 1, "clip_sample": false])
        return (found.unet["sample_size"]?.intValue, !found.notes.isEmpty)
    }

    /// The repair of diffusers: for versions below 0.9.0, and sides below 64.
    @Test(
        arguments: [
            ("0.8.1", 32, 64), ("0.2.4", 16, 64), ("0.8.0.dev0", 63, 64), ("0.0.4", 8, 64), ("0", 32, 64),
            ("0.9.0", 32, 32), ("0.9.0.dev0", 32, 32), ("0.10.2", 32, 32), ("0.27.2", 32, 32), ("1.0.0", 32, 32),
            ("0.8.1", 64, 64), ("0.8.1", 96, 96), ("next", 32, 32), ("", 32, 32), ("0.x", 32, 32),
        ] as [(String, Int64, Int)])
    func sampleSizesOfOldFilesAreRepaired(version: String, said: Int64, taken: Int) throws {
        let found = try side([
            "_diffusers_version": .string(version), "sample_size": .integer(said), "block_out_channels": [32, 64],
        ])
        #expect(found.side == taken && found.isNoted == (Int(said) != taken))
        // SDXL's pipelines repair nothing.
        let xl = try side([
            "_diffusers_version": .string(version), "sample_size": .integer(said), "block_out_channels": [32, 64],
            "addition_embed_type": "text_time",
        ])
        #expect(xl.side == Int(said) && !xl.isNoted)
    }

    /// A U-Net of the published shape was made for 512 px at least, whatever its file says.
    @Test func thePublishedShapeIsNotBelievedBelow512Pixels() throws {
        func found(_ size: JSONValue?, _ members: [String: JSONValue] = [:]) throws -> Int? {
            var all = members
            all["block_out_channels"] = all["block_out_channels"] ?? Self.published
            all["sample_size"] = size
            all["_diffusers_version"] = "0.27.2"
            return try side(all).side
        }
        #expect(try found(32) == 64 && found(8) == 64 && found([16, 16]) == 64)
        #expect(try found(64) == 64 && found(96) == 96 && found(128) == 128)
        #expect(try found(32, ["use_linear_projection": true]) == 64)
        #expect(try found(32, ["layers_per_block": 1]) == 32 && found(32, ["block_out_channels": [320, 640, 1280]]) == 32)
        // Other forms are left to the code that checks them.
        #expect(try side(["block_out_channels": Self.published, "sample_size": [16, 24]]).side == nil)
    }

    /// A file that says nothing of the size means the published model's.
    @Test func theNativeSizeMayBeLeftOut() throws {
        for size in [JSONValue.null, nil] {
            func found(_ members: [String: JSONValue], velocity: Bool = false) throws -> Int? {
                var all = members
                all["sample_size"] = size
                let found = try side(all, velocity: velocity)
                #expect(found.isNoted == (found.side != nil))
                return found.side
            }
            #expect(try found(["block_out_channels": Self.published]) == 64)
            #expect(try found(["block_out_channels": Self.published, "use_linear_projection": true]) == 64)
            #expect(
                try found(["block_out_channels": Self.published, "use_linear_projection": true], velocity: true) == 96)
            #expect(try found(["block_out_channels": [320, 640, 1280], "addition_embed_type": "text_time"]) == 128)
            #expect(try found(["block_out_channels": [32, 64]]) == nil)
        }
    }

    @Test func schedulersAreRepairedByFamily() throws {
        let old: JSONValue = ["_class_name": "DDIMScheduler", "steps_offset": 0]
        let repaired = try configuration(scheduler: old)
        #expect(repaired.scheduler["steps_offset"] == 1 && repaired.scheduler["clip_sample"] == false)
        #expect(repaired.scheduler["skip_prk_steps"] == nil)
        #expect(
            repaired.notes == [
                "old/scheduler/scheduler_config.json: steps_offset is taken for 1, clip_sample is taken for false, as diffusers does with "
                    + "models of this family"
            ])
        let xl = try configuration(unet: ["addition_embed_type": "text_time", "sample_size": 128], scheduler: old)
        #expect(xl.scheduler == old && xl.notes.isEmpty)
        // Models for inpainting begin without PNDM's Runge-Kutta steps.
        let pndm: JSONValue = ["_class_name": "PNDMScheduler", "steps_offset": 1, "clip_sample": false]
        let inpaint = try configuration(unet: ["in_channels": 9, "sample_size": 64], scheduler: pndm)
        #expect(inpaint.scheduler["skip_prk_steps"] == true && inpaint.notes.first?.contains("skip_prk_steps") == true)
        let plain = try configuration(scheduler: pndm)
        #expect(plain.scheduler["skip_prk_steps"] == nil && plain.notes.isEmpty)
        // Values of another kind do not count as right.
        let odd = try configuration(scheduler: ["steps_offset": "1", "clip_sample": "no", "_class_name": "DDIMScheduler"])
        #expect(odd.scheduler["steps_offset"] == 1 && odd.scheduler["clip_sample"] == false)
    }

    /// Only the configuration is repaired; a mark in the weights counts more.
    @Test(arguments: [("0.8.0", [32, 64]), ("0.27.2", [320, 640, 1280, 1280])] as [(String, JSONValue)])
    func aMarkOfSizeCountsMoreThanTheRepair(version: String, channels: JSONValue) throws {
        let model = Fixtures.folder.appendingPathComponent("golden/models/tiny-sd15")
        func open(_ metadata: [String: String], single: Bool) throws -> ModelConfiguration {
            try withTemporaryFolder { folder throws in
                let copy = folder.appendingPathComponent("copy")
                try FileManager.default.copyItem(at: model, to: copy)
                let file = copy.appendingPathComponent("unet/config.json")
                let unet = try JSONValue(parsing: [UInt8](Data(contentsOf: file)), limits: .config)
                var object = try #require(unet.objectValue)
                (object["_diffusers_version"], object["sample_size"]) = (.string(version), 16)
                if !single { object["block_out_channels"] = channels }
                try Data(JSONValue.object(object).canonicalBytes()).write(to: file)
                var choice = ModelChoice(path: copy.path)
                if single {
                    let tensors = try SingleFiles.checkpoint(of: model, .first)
                    try folder.write("a.safetensors", FileTensor.file(tensors, metadata: metadata))
                    choice.path = folder.appendingPathComponent("a.safetensors").path
                    choice.configuration = copy.path
                } else {
                    let tensors = try SingleFiles.tensors(of: "unet", in: model)
                    for name in try FileManager.default.contentsOfDirectory(atPath: copy.appendingPathComponent("unet").path)
                    where name != "config.json" {
                        try FileManager.default.removeItem(at: copy.appendingPathComponent("unet/" + name))
                    }
                    try copy.write("unet/diffusion_pytorch_model.safetensors", FileTensor.file(tensors, metadata: metadata))
                }
                return try ModelConfiguration(.open(choice))
            }
        }
        for (side, latent) in [(256, 32), (64, 8), (768, 96)] {
            let marked = try open(["modelspec.resolution": "\(side)x\(side)"], single: false)
            #expect(marked.unet["sample_size"]?.intValue == latent && marked.notes.isEmpty, "\(marked.notes)")
        }
        // Metadata that is no mark repairs nothing.
        for metadata in [[:], ["modelspec.resolution": "256x512"], ["modelspec.resolution": "100x100"]] {
            let plain = try open(metadata, single: false)
            #expect(plain.unet["sample_size"]?.intValue == 64)
            #expect(plain.notes.count == 1 && plain.notes[0].contains("sample_size 16"), "\(plain.notes)")
        }
        let single = try open(["modelspec.resolution": "256x256"], single: true)
        #expect(single.unet["sample_size"]?.intValue == 32 && single.notes.isEmpty)
    }

    /// Marks of resolution and of latents' statistics, over the configuration that a single file is given.
    @Test func marksOfSizeAndLatentsCountMoreThanTheConfiguration() throws {
        let model = Fixtures.folder.appendingPathComponent("golden/models/tiny-sdxl-turbo")
        let tensors = try SingleFiles.checkpoint(of: model, .xl)
        func open(_ extra: [FileTensor], _ metadata: [String: String] = [:]) throws -> (ModelConfiguration, [String]) {
            try withTemporaryFolder { folder throws in
                try folder.write("a.safetensors", FileTensor.file(tensors + extra, metadata: metadata))
                var choice = ModelChoice(path: folder.appendingPathComponent("a.safetensors").path)
                choice.configuration = model.path
                let source = try ModelSource.open(choice)
                return (try ModelConfiguration(source), try source.notes())
            }
        }
        let (own, silence) = try open([])
        #expect(silence.isEmpty)
        let (sized, sizeNotes) = try open([], ["modelspec.resolution": "768x768"])
        #expect(sized.unet["sample_size"] == 96 && sizeNotes.first?.contains("768 px") == true && sized.vae == own.vae)
        let statistics: [FileTensor] = [
            .f32("edm_mean", [1, 2, 3, 4], shape: [4]), .f32("edm_std", [4, 3, 2, 1], shape: [1, 4, 1, 1]),
        ]
        let (edm, _) = try open(statistics)
        #expect(edm.vae["latents_mean"] == [1.0, 2.0, 3.0, 4.0] && edm.vae["scaling_factor"] == 0.5)
        #expect(edm.scheduler["_class_name"] == "EDMDPMSolverMultistepScheduler" && (own.vae["latents_mean"] ?? .null) == .null)
        #expect(weightsError { _ = try open([statistics[0]]) }?.code == .malformed)
    }
}
