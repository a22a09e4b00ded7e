import TensorCore

/// SDXL's six numbers: original height and width, crop top and left, target height and width.
struct MicroConditioning {
    let positive: [Float]
    let negative: [Float]

    /// - Parameters:
    ///   - height: of the latent; sizes that are not given are the picture's.
    init(_ parameters: Parameters, height: Int, width: Int) throws {
        func pair(_ key: String, _ fallback: [Int]) throws -> [Int] {
            guard parameters.has(key) else { return fallback }
            let pair = try parameters.integers(key)
            guard pair.count == 2 else { throw GoldenError.failed("\"\(key)\" has two numbers") }
            return pair
        }
        let picture = [height * 8, width * 8]
        let numbers =
            try pair("original_size", picture) + pair("crops_coords_top_left", [0, 0]) + pair("target_size", picture)
        positive = numbers.map { Float($0) }
        // The reference takes the negative sizes only when both are given.
        if parameters.has("negative_original_size"), parameters.has("negative_target_size") {
            let other =
                try pair("negative_original_size", picture) + pair("negative_crops_coords_top_left", [0, 0])
                + pair("negative_target_size", picture)
            negative = other.map { Float($0) }
        } else {
            negative = positive
        }
    }

    static func tensor(_ numbers: [Float], rows: Int) -> Tensor {
        Tensor((0..<rows).flatMap { _ in numbers }, shape: [rows, numbers.count])
    }
}
