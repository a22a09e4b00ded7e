/// A 3×3 convolution of stride 1 as its definition has it, in f64.
public struct PlainConvolution {
    /// The sums, and of each the sum of the products' magnitudes: image by image, row by row, (height, width, outputs).
    public private(set) var values: [Double] = []
    public private(set) var magnitudes: [Double] = []

    /// - Parameters:
    ///   - x: images of height × width × inputs.
    ///   - weight: outputs × inputs × 3 × 3.
    ///   - padding: the numbers of rows and columns of zeros above and left of an image.
    ///   - result: height and width of a result.
    public init(
        _ x: [Float], height: Int, width: Int, _ weight: [Float], _ bias: [Float], padding: (top: Int, left: Int),
        result: (height: Int, width: Int)
    ) {
        let inputs = weight.count / bias.count / 9
        let places = result.height * result.width
        for place in 0..<(x.count / (height * width * inputs) * places) {
            let (image, row, column) = (place / places, place / result.width % result.height, place % result.width)
            for output in bias.indices {
                var (sum, magnitude) = (Double(bias[output]), Double(abs(bias[output])))
                for tap in 0..<9 {
                    let (sourceRow, sourceColumn) = (row + tap / 3 - padding.top, column + tap % 3 - padding.left)
                    guard (0..<height).contains(sourceRow), (0..<width).contains(sourceColumn) else { continue }
                    let pixel = ((image * height + sourceRow) * width + sourceColumn) * inputs
                    for input in 0..<inputs {
                        let product = Double(x[pixel + input]) * Double(weight[(output * inputs + input) * 9 + tap])
                        sum += product
                        magnitude += abs(product)
                    }
                }
                values.append(sum)
                magnitudes.append(magnitude)
            }
        }
    }
}
