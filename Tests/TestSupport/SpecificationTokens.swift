import Foundation

/// The tokens of the specification's test vectors for token reduction, from a formula in double precision.
public enum SpecificationTokens {
    /// (images, tokens, width)
    public static func values(images: Int = 1, tokens: Int, width: Int) -> [Float] {
        var values: [Float] = []
        for image in 0..<images {
            for index in 0..<(tokens * width) {
                let u = sin(Double(index + 1) * 12.9898 + Double(image) * 78.233) * 43758.5453
                values.append(Float(u - u.rounded(.down) - 0.5))
            }
        }
        return values
    }
}
