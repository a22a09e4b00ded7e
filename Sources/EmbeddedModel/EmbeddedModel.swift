import CEmbeddedModel

/// The model inside the program: OpenMoji-24, a small text-to-image model with the structure of Stable Diffusion 1.x. Its
/// card `MODEL_CARD.md` says what it draws.
public enum EmbeddedModel {
    /// Its name in programs and messages.
    public static let name = "openmoji-24"

    /// Files by path below the model's folder. The bytes are read-only pages of the program and live as long as it does.
    public static var files: [String: UnsafeRawBufferPointer] {
        var count = 0
        guard let table = cembedded_model_files(&count) else { return [:] }
        var files: [String: UnsafeRawBufferPointer] = [:]
        for index in 0..<count {
            let file = table[index]
            files[String(cString: file.path)] = UnsafeRawBufferPointer(start: file.bytes, count: file.count)
        }
        return files
    }
}
