import Foundation

/// The tolerance of a computed tensor: |actual − expected| ≤ absolute + relative · |expected| everywhere.
struct Tolerance: Equatable {
    var absolute: Double
    var relative: Double
    /// The necessary peak signal-to-noise ratio instead, for pictures of whole numbers 0…255.
    var decibels: Double?

    static let exact = Tolerance(absolute: 0, relative: 0)
}

/// The result of comparing two tensors.
enum Comparison {
    /// The largest |actual − expected| of tensors that agree. Whole numbers must be equal; NaN agrees with nothing.
    ///
    /// Throws `.failed` with the first error.
    static func check(
        _ name: String, actual: GoldenTensor, expected: GoldenTensor, tolerance: Tolerance
    ) throws(GoldenError) -> Double {
        guard actual.shape == expected.shape else {
            throw .failed("\(name): shape \(actual.shape) was computed, \(expected.shape) is expected")
        }
        switch (actual.values, expected.values) {
        case (.integers(let a), .integers(let b)):
            if let wanted = tolerance.decibels {
                let reached = decibels(a, b)
                guard reached >= wanted else { throw .failed("\(name): a PSNR of \(reached) dB where \(wanted) is needed") }
                return Double(zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) })
            }
            guard let index = a.indices.first(where: { a[$0] != b[$0] }) else { return 0 }
            let wrong = a.indices.count { a[$0] != b[$0] }
            throw .failed(
                "\(name): \(wrong) of \(a.count) whole numbers differ, the first at \(index): \(a[index]) for \(b[index])")
        case (.reals(let a), .reals(let b)):
            return try checkReals(name, a, b, tolerance)
        default:
            throw .failed("\(name): whole numbers were compared with real numbers")
        }
    }

    /// The peak signal-to-noise ratio of 8-bit pictures; infinite for equal ones.
    static func decibels(_ a: [Int], _ b: [Int]) -> Double {
        let squares = zip(a, b).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
        return squares == 0 ? .infinity : 10 * log10(255 * 255 * Double(a.count) / squares)
    }

    private static func checkReals(
        _ name: String, _ a: [Double], _ b: [Double], _ tolerance: Tolerance
    ) throws(GoldenError) -> Double {
        var (largest, excess, worst, wrong) = (0.0, -Double.infinity, 0, 0)
        for index in a.indices {
            let error = abs(a[index] - b[index])
            let over = error - (tolerance.absolute + tolerance.relative * abs(b[index]))
            // Written so that NaN on either side, and infinity, count as wrong.
            if !(over <= 0) {
                wrong += 1
                if !(over <= excess) { (excess, worst) = (over.isNaN ? .infinity : over, index) }
            }
            if error > largest { largest = error }
        }
        guard wrong == 0 else {
            throw .failed(
                "\(name): \(wrong) of \(a.count) numbers are out of tolerance, the worst at \(worst): \(a[worst]) for \(b[worst]), "
                    + "largest error \(largest)")
        }
        return largest
    }
}
