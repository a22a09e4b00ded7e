import ContentHash
import Foundation
import Sentences
import TensorCore
import TestSupport
import Testing
import Weights

/// LoRA files that cannot be used, each with one sentence that names the thing.
@Suite struct LoRARefusalTests {
    private static let toQ = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"

    /// The error of reading and applying a file of these tensors.
    private func refusal(_ tensors: [Numbers], scale: LoRAScale = 1, two: Bool = false) -> WeightsError? {
        weightsError {
            let source = try TinyModel.source(two: two).applying([LoRAUse(lora(tensors), scale: scale)])
            _ = try source.weights(component: "unet").tensor(TinyModel.toQ + ".weight", shape: [2, 2])
        }
    }

    private func expect(
        _ error: WeightsError?, _ code: WeightsError.Code, mentions: [String],
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(error?.code == code, "\(String(describing: error))", sourceLocation: sourceLocation)
        let message = error?.message ?? ""
        #expect(message.hasSuffix(".") && !message.contains("\n"), "\(message)", sourceLocation: sourceLocation)
        for part in mentions + ["test-lora.safetensors"] {
            #expect(message.contains(part), "\(part) in: \(message)", sourceLocation: sourceLocation)
        }
    }

    private func pair(_ stem: String, up: [Int] = [2, 2], down: [Int] = [2, 2], seed: UInt64 = 1) -> [Numbers] {
        [
            Numbers(stem + ".lora_up.weight", up, seed: seed), Numbers(stem + ".lora_down.weight", down, seed: seed + 1),
        ]
    }

    @Test(arguments: [
        (".hada_w1_a", "LoHa"), (".lokr_w1", "LoKr"), (".dora_scale", "DoRA"), (".lora_magnitude_vector", "DoRA"),
        (".on_input", "IA3"), (".oft_blocks", "OFT"), (".oft_diag", "OFT"), (".a1.weight", "GLoRA"), (".b2.weight", "GLoRA"),
        (".diff", "full differences"), (".diff_b", "full differences"), (".w_norm", "norms"), (".scalar", "scalars"),
        (".lora_B.bias", "biases"),
    ])
    func otherKindsAreRefusedByName(_ ending: String, _ name: String) {
        expect(
            refusal(pair(Self.toQ) + [Numbers(Self.toQ + ending, [2], seed: 5)]), .unsupportedFormat,
            mentions: [name, Self.toQ + ending])
    }

    @Test(arguments: [
        ("lora_unet_double_blocks_0_img_attn_proj", "Flux"), ("lora_unet_single_blocks_0_linear1", "Flux"),
        ("lora_unet_joint_blocks_0_x_block_attn_proj", "Stable Diffusion 3"), ("lora_te3_encoder", "Stable Diffusion 3"),
        ("transformer.transformer_blocks.0.attn.to_q", "diffusion transformer"),
    ])
    func otherArchitecturesAreRefusedByName(_ stem: String, _ family: String) {
        expect(refusal(pair(stem)), .unsupportedFormat, mentions: [family, stem])
    }

    /// The first is named, the others are counted.
    @Test func layersWithoutCounterpartAreNamed() {
        let strangers = ["lora_unet_down_blocks_9_attentions_0_proj_in", "lora_unet_nonsense", "lora_te_text_model_nonsense"]
        let error = refusal(pair(Self.toQ) + strangers.flatMap { pair($0) })
        expect(
            error, .unusedTensors,
            mentions: ["lora_te_text_model_nonsense.lora_down.weight", "2 more layers have no counterpart", "tiny"])
        #expect(error?.message.contains("looks like") == false)
        let one = refusal(pair("lora_unet_nonsense"))
        expect(one, .unusedTensors, mentions: ["lora_unet_nonsense.lora_down.weight"])
        #expect(one?.message.contains("more layers") == false)
        expect(
            refusal([Numbers("conditioner.weight", [2], seed: 1), Numbers("x", [2], seed: 1)]), .malformed,
            mentions: ["conditioner.weight", "1 more", "no LoRA"])
    }

    @Test func aFileForAnotherFamilySaysSo() {
        let crossK = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
        for (width, family) in [(768, ModelKind.sd1), (1024, .sd2), (2048, .sdxl)] {
            let error = refusal(pair(crossK, down: [2, width]))
            let known = "for \(family.title) (text of width \(width)), "
            expect(error, .misshapenTensor, mentions: [known, "[2, \(width)]", "[2, 3]", "a model with text of width 3"])
        }
        let second = pair("lora_te2_text_model_encoder_layers_0_self_attn_q_proj", up: [3, 2], down: [2, 3])
        expect(refusal(second), .unusedTensors, mentions: ["SDXL", "second text encoder", "lora_te2"])
        #expect(refusal(second, two: true) == nil)
        let deep = pair("lora_unet_down_blocks_0_attentions_0_transformer_blocks_9_attn1_to_q")
        expect(refusal(deep), .unusedTensors, mentions: ["SDXL", "10 transformer blocks"])
    }

    /// Both shapes are in the sentence.
    @Test(arguments: [
        ([3, 2], [2, 2]), ([2, 2], [2, 3]), ([2, 3], [2, 2]), ([2, 2], [2, 2, 3, 3]), ([2, 2, 2], [2, 2]), ([2], [2, 2]),
        ([2, 2], [2]), ([2, 2, 3, 3], [2, 2]), ([1, 2, 2], [2, 2]),
    ])
    func shapesThatDoNotFitAreNamed(_ up: [Int], _ down: [Int]) {
        expect(
            refusal(pair(Self.toQ, up: up, down: down)), .misshapenTensor,
            mentions: ["\(up)", "\(down)", "[2, 2]", TinyModel.toQ])
    }

    @Test(arguments: [[2, 2, 3, 3], [3, 2, 3, 3], [2, 2, 1, 1], [2, 2], [2, 3, 3, 3]])
    func middlesThatDoNotFitAreRefused(_ mid: [Int]) {
        let stem = "lora_unet_down_blocks_0_resnets_0_conv1"
        // The right one fits, and a pair of another kernel does not.
        let tensors =
            pair(stem, up: [3, 2, 1, 1], down: [2, 2, 1, 1]) + [Numbers(stem + ".lora_mid.weight", mid, seed: 3)]
        #expect((refusal(tensors) == nil) == (mid == [2, 2, 3, 3]))
        #expect(refusal(pair(stem, up: [3, 2, 1, 1], down: [2, 2, 1, 1]))?.code == .misshapenTensor)
        // A matrix has no kernel that could stand in the middle.
        let matrix = pair(Self.toQ) + [Numbers(Self.toQ + ".lora_mid.weight", mid, seed: 3)]
        #expect(refusal(matrix)?.code == .misshapenTensor)
    }

    @Test func halvesOfPairsAreNamed() {
        let whole = pair(Self.toQ)
        expect(refusal([whole[0]]), .malformed, mentions: [Self.toQ + ".lora_up.weight", "no lora_down"])
        expect(refusal([whole[1]]), .malformed, mentions: [Self.toQ + ".lora_down.weight", "no lora_up"])
        expect(refusal([Numbers(Self.toQ + ".alpha", [], [1])]), .malformed, mentions: [Self.toQ + ".alpha"])
        expect(refusal([]), .malformed, mentions: ["no tensors"])
    }

    @Test func hostileNumbersAreRefused() {
        expect(
            refusal([Numbers(Self.toQ + ".lora_up.weight", [2, 0], []), Numbers(Self.toQ + ".lora_down.weight", [0, 2], [])]),
            .malformed, mentions: ["all its tensors are empty"])
        for alpha in [Float.nan, .infinity, -.infinity] {
            expect(
                refusal(pair(Self.toQ) + [Numbers(Self.toQ + ".alpha", [], [alpha])]), .malformed, mentions: [".alpha"])
        }
        expect(
            refusal(pair(Self.toQ) + [Numbers(Self.toQ + ".alpha", [2], [1, 1])]), .malformed, mentions: ["not one number"])
        // Finite, and too much for the sum.
        let huge = [Numbers(Self.toQ + ".alpha", [], [Float.greatestFiniteMagnitude])]
        expect(refusal(pair(Self.toQ) + huge, scale: 100), .malformed, mentions: [Self.toQ])
        expect(refusal(pair(Self.toQ) + huge, scale: 1.9), .malformed, mentions: ["not finite", TinyModel.toQ])
        for scale in [Double.nan, .infinity, -.infinity] {
            expect(refusal(pair(Self.toQ), scale: LoRAScale(scale)), .malformed, mentions: ["scale"])
        }
        for bad in [Float.nan, .infinity] {
            let tensors = [
                Numbers(Self.toQ + ".lora_up.weight", [2, 1], [1, bad]),
                Numbers(Self.toQ + ".lora_down.weight", [1, 2], [1, 1]),
            ]
            expect(refusal(tensors), .malformed, mentions: ["not finite", TinyModel.toQ])
        }
    }

    @Test func twoNamesForOneLayerAreRefused() {
        let other = "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q"
        expect(
            refusal(pair(Self.toQ) + pair(other)), .malformed,
            mentions: [Self.toQ + ".lora_down.weight", other + ".lora_down.weight", "both change"])
        let dotted = [Numbers("unet.\(TinyModel.toQ).lora_B.weight", [2, 2], seed: 1)]
        expect(
            refusal(pair(Self.toQ) + dotted), .malformed,
            mentions: [Self.toQ + ".lora_up.weight", "unet.\(TinyModel.toQ).lora_B.weight", "same part"])
    }

    /// A file with damaged bytes is read or refused.
    @Test(arguments: 0..<4) func damagedFilesNeverTrap(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let good = Numbers.file(pair(Self.toQ) + [Numbers(Self.toQ + ".alpha", [], [1])])
        var refused = 0
        for _ in 0..<200 {
            let bad = Mutation.mutate(good, using: &generator)
            let error = bad.withUnsafeBytes { bytes in
                weightsError {
                    let file = try LoRAFile(permanent: bytes, name: "test-lora.safetensors")
                    _ = file.dataDigest()
                    let source = try TinyModel.source().applying([LoRAUse(file)])
                    _ = try source.weights(component: "unet").tensor(TinyModel.toQ + ".weight", shape: [2, 2])
                }
            }
            if error != nil { refused += 1 }
        }
        #expect(refused > 50)
    }
}

/// LoRA files on disk.
@Suite struct LoRALibraryTests {
    private func write(_ folder: URL, _ path: String, seed: UInt64) throws -> LoRAFile {
        try folder.write(path, Numbers.file(LoRATests.pair(TinyModel.toQ, seed: seed)))
        return try LoRAFile(path: folder.appendingPathComponent(path).path)
    }

    @Test func filesAreFoundByNameAndByContent() throws {
        try withTemporaryFolder { folder in
            let ink = try write(folder, "a/ink.safetensors", seed: 1)
            let deep = try write(folder, "a/style/wash.safetensors", seed: 2)
            let other = try write(folder, "b/ink.safetensors", seed: 3)
            let single = try write(folder, "c/single.safetensors", seed: 4)
            try folder.write("a/broken.safetensors", "no weights")
            try folder.write("a/notes.txt", "no weights")
            let paths = ["a", "b/"].map { folder.path + "/" + $0 }
            let library = try LoRALibrary(folders: paths, files: [single.name])
            let first = try LoRALibrary(folders: [paths[0]])
            #expect(try first.file(named: "ink").digest == ink.digest)
            #expect(try first.file(named: "ink.safetensors").digest == ink.digest)
            #expect(weightsError { _ = try library.file(named: "ink") }?.code == .badOption)
            #expect(try library.file(named: "style/wash").digest == deep.digest)
            // Twice: found anew, and from the memory.
            for _ in 0..<2 {
                for file in [ink, deep, other, single] {
                    #expect(try library.file(digest: file.digest).digest == file.digest)
                }
            }
            #expect(weightsError { _ = try library.file(named: "single") }?.code == .notFound)
            #expect(weightsError { _ = try library.file(named: "broken") }?.code == .malformed)
        }
    }

    /// A file that is replaced is another file, even if the size stays.
    @Test func replacedFilesAreHashedAgain() throws {
        try withTemporaryFolder { folder in
            let old = try write(folder, "ink.safetensors", seed: 1)
            let library = try LoRALibrary(folders: [folder.path])
            #expect(try library.file(digest: old.digest).digest == old.digest)
            let new = try write(folder, "ink.safetensors", seed: 9)
            #expect(try library.file(digest: new.digest).digest == new.digest)
            // Neither size nor time of change gives this one away.
            let path = folder.path + "/ink.safetensors"
            let time = try FileManager.default.attributesOfItem(atPath: path)[.modificationDate] ?? Date()
            let third = try write(folder, "third", seed: 10)
            #expect(rename(folder.path + "/third", path) == 0)
            try FileManager.default.setAttributes([.modificationDate: time], ofItemAtPath: path)
            #expect(try library.file(digest: third.digest).digest == third.digest)
            let gone = weightsError { _ = try library.file(digest: old.digest) }
            #expect(gone?.code == .notFound && gone?.message.contains(old.digest.hex) == true)
            #expect(gone?.sentence.settings.contains(.loraModelDir) == true)
        }
    }

    @Test(arguments: ["../ink", "/etc/ink", "", ".", "..", "a/../ink", "a//ink", "a\0b", "./ink"])
    func namesStayInTheFolder(_ name: String) throws {
        try withTemporaryFolder { folder in
            _ = try write(folder, "ink.safetensors", seed: 1)
            try folder.write("sub/x", "")
            let library = try LoRALibrary(folders: [folder.path + "/sub"])
            #expect(weightsError { _ = try library.file(named: name) }?.code == .badPath)
        }
    }

    @Test func whatIsMissingIsNamedWithTheCure() throws {
        try withTemporaryFolder { folder in
            let library = try LoRALibrary(folders: [folder.path])
            let missing = try #require(weightsError { _ = try library.file(named: "ink") })
            #expect(missing.code == .notFound && missing.message.contains("ink.safetensors"))
            #expect(missing.message.contains(folder.path))
            let nowhere = try #require(weightsError { _ = try LoRALibrary.empty.file(named: "ink") })
            #expect(nowhere.code == .notFound && nowhere.sentence.settings.contains(.loraModelDir))
            #expect(weightsError { _ = try LoRALibrary(folders: [folder.path + "/no"]) }?.code == .notFound)
            try folder.write("file", "")
            #expect(weightsError { _ = try LoRALibrary(folders: [folder.path + "/file"]) }?.code == .unsupportedFormat)
        }
    }
}
