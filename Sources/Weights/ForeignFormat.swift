/// Files that people take for weights and that are not safetensors.
enum ForeignFormat {
    case pickle, gguf, gitLFSPointer

    /// Endings of file names under which PyTorch writes pickles.
    static let pickleEndings = [".ckpt", ".pt", ".pth", ".bin", ".pkl"]

    /// A pickle by its name, before its bytes are looked at.
    static func recognise(name: String) -> ForeignFormat? {
        let lowered = name.lowercased()
        if pickleEndings.contains(where: lowered.hasSuffix) { return .pickle }
        return lowered.hasSuffix(".gguf") ? .gguf : nil
    }

    /// What the first bytes say. Asked only about files that are no safetensors: the length of a good head may begin with the
    /// same bytes as a pickle.
    static func recognise(_ file: UnsafeRawBufferPointer) -> ForeignFormat? {
        func begins(_ text: StaticString) -> Bool {
            file.count >= text.utf8CodeUnitCount && (0..<text.utf8CodeUnitCount).allSatisfy { file[$0] == text.utf8Start[$0] }
        }
        // ZIP, as torch.save writes since 1.6; or a pickle of protocol 2 to 5.
        if begins("PK\u{03}\u{04}") { return .pickle }
        if file.count >= 2, file[0] == 0x80, (2...5).contains(file[1]) { return .pickle }
        if begins("GGUF") { return .gguf }
        return begins("version https://git-lfs") ? .gitLFSPointer : nil
    }

    func refusal(_ name: String) -> WeightsError {
        switch self {
        case .pickle:
            WeightsError(
                .unsupportedFormat,
                "\(name) is a pickle, which can run programs when it is opened; load it elsewhere with diffusers and write it "
                    + "with save_pretrained(..., safe_serialization=True), then use the .safetensors files.")
        case .gguf:
            WeightsError(
                .unsupportedFormat, "\(name) is a GGUF file, which is not supported; use the model's .safetensors files.")
        case .gitLFSPointer:
            WeightsError(
                .unsupportedFormat, "\(name) is a Git LFS pointer and not the weights; fetch them with \"git lfs pull\".")
        }
    }
}
