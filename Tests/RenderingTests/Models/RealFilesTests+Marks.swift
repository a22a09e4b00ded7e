import Foundation
import StrictJSON
import TestSupport
import Testing
import Weights

@testable import Rendering

/// The marks in files of weights that tell their model.
extension RealFilesTests {
    @Test func marksOfAFileCountMoreThanItsConfiguration() throws {
        let tensors = try Self.checkpoint.get()
        func folder(_ members: [String: JSONValue?]) throws -> [UInt8] {
            try Self.withCopy { folder, choice in
                try Self.set(folder.appendingPathComponent("scheduler/scheduler_config.json"), members)
                return try Self.pixels(.open(choice))
            }
        }
        let velocity = try folder(["prediction_type": "v_prediction"])
        let zeroSNR = try folder([
            "prediction_type": "v_prediction", "rescale_betas_zero_snr": true, "timestep_spacing": "trailing",
            "_class_name": "DDIMScheduler",
        ])
        #expect(try velocity != Self.plain.get() && zeroSNR != velocity)
        let mark = FileTensor.f32("v_pred", [1], shape: [1])
        let snr = FileTensor("ztsnr", "U8", [0], [])
        #expect(try Self.single(tensors).pixels == Self.plain.get())
        let marked = try Self.single(tensors + [mark])
        #expect(marked.pixels == velocity)
        #expect(
            marked.notes == ["the file says that its U-Net predicts v_prediction; this overrides its configuration"])
        let both = try Self.single(tensors + [mark, snr])
        #expect(both.pixels == zeroSNR)
        #expect(both.notes.count == 2 && both.notes.first == marked.notes.first, "\(both.notes)")
        #expect(Self.isOfZeroSNR(both.notes.last, bringing: "DDIMScheduler"), "\(both.notes)")
        #expect(try Self.single(tensors, metadata: ["modelspec.prediction_type": "v"]).pixels == velocity)
        // The architecture of another family says nothing of this model.
        for name in ["stable-diffusion-v2-768-v", "stable-diffusion-v2-512", "stable-diffusion-xl-v1-base"] {
            let foreign = try Self.single(tensors, metadata: ["modelspec.architecture": name])
            #expect(try foreign.pixels == Self.plain.get() && foreign.notes.isEmpty)
        }
        // The tensor counts more than the metadata, and the user's word more than both.
        #expect(try Self.single(tensors + [mark], metadata: ["modelspec.prediction_type": "epsilon"]).pixels == velocity)
        let asked = try Self.single(tensors + [mark, snr]) { $0.prediction = .epsilon }
        #expect(asked.notes.count == 1 && Self.isOfZeroSNR(asked.notes.first), "\(asked.notes)")
        #expect(try asked.pixels == Self.plain.get())
        // A number of training steps is no mark.
        let steps = FileTensor("global_step", "I64", [], withUnsafeBytes(of: Int64(875_000).littleEndian) { Array($0) })
        #expect(try Self.single(tensors + [steps]).pixels == Self.plain.get())
    }

    /// The same in a folder, whose U-Net's files may have the marks.
    @Test func marksOfAFoldersUNetCount() throws {
        let unet = try SingleFiles.tensors(of: "unet", in: Self.model)
        func picture(
            _ extra: [FileTensor], _ option: UNetPrediction? = nil
        ) throws -> (notes: [String], pixels: [UInt8]) {
            try Self.withCopy { folder, choice in
                try Self.write(unet + extra, to: "unet", in: folder)
                choice.prediction = option
                let source = try ModelSource.open(choice)
                return (try ModelDescription(source: source).notes, try Self.pixels(source))
            }
        }
        func pixels(_ extra: [FileTensor], _ option: UNetPrediction? = nil) throws -> [UInt8] {
            try picture(extra, option).pixels
        }
        let velocity = try Self.withCopy { folder, choice in
            choice.prediction = .velocity
            return try Self.pixels(.open(choice))
        }
        let mark = FileTensor.f32("v_pred", [], shape: [0])
        #expect(try pixels([mark]) == velocity)
        #expect(try pixels([mark], .epsilon) == Self.plain.get())
        #expect(try pixels([]) == Self.plain.get())
        // No note calls a mark left over. A note says that a mark has no meaning, if it has none.
        let prediction = try picture([mark]).notes
        #expect(prediction.count == 1 && prediction.first?.contains("v_prediction") == true, "\(prediction)")
        let snr = FileTensor("ztsnr", "U8", [0], [])
        #expect(try picture([snr]).pixels == Self.plain.get())
        let unused = try picture([snr]).notes
        #expect(unused.count == 1 && Self.isOfZeroSNR(unused.first), "\(unused)")
        let both = try picture([mark, snr]).notes
        #expect(both.count == 2 && both.first == prediction.first, "\(both)")
        #expect(Self.isOfZeroSNR(both.last, bringing: "DDIMScheduler"), "\(both)")
        // In the file of another component a mark is a tensor like any other.
        try Self.withCopy { folder, choice in
            try Self.write(
                SingleFiles.tensors(of: "vae", in: Self.model) + [.f32("v_pred", [1], shape: [1])], to: "vae", in: folder)
            try Self.expectPlain(folder, choice, notes: ["(\"v_pred\")"])
        }
    }

    /// Whether a note names the mark of a last step of pure noise, and the sampler that the mark brings; none if the mark has
    /// no meaning.
    private static func isOfZeroSNR(_ note: String?, bringing sampler: String? = nil) -> Bool {
        guard let note, note.contains("ztsnr") else { return false }
        return sampler.map { note.contains("\"\($0)\"") } ?? !note.contains("Scheduler")
    }

    /// Marks of latents bring the sampler that goes with them, and a line says so.
    @Test func marksOfLatentsChangeTheSampler() throws {
        let statistics: [FileTensor] = [
            .f32("edm_mean", [0.1, 0.2, 0.3, 0.4], shape: [4]), .f32("edm_std", [1, 2, 3, 4], shape: [4]),
        ]
        let (notes, pixels) = try Self.single(Self.checkpoint.get() + statistics + [FileTensor("ztsnr", "U8", [0], [])])
        #expect(try pixels != Self.plain.get())
        #expect(notes.contains { $0.contains("the sampler is \"EDMDPMSolverMultistepScheduler\"") }, "\(notes)")
        let ofNoise = notes.filter { $0.contains("ztsnr") }
        #expect(ofNoise.count == 1 && Self.isOfZeroSNR(ofNoise.first), "\(notes)")
    }
}
