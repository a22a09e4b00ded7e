/// The distance of two arrays of numbers.
public struct Closeness: CustomStringConvertible {
    /// Squared error over squared reference.
    public var normalizedMeanSquare = 0.0
    public var largestError = 0.0
    public var worstIndex = 0
    public var actual: Float = 0
    public var expected: Float = 0
    /// Whether both have the same number of elements and all are finite.
    public var comparable = true

    public init(_ values: [Float], _ reference: [Float]) {
        comparable = values.count == reference.count
        guard comparable else { return }
        var (error, power) = (0.0, 0.0)
        for index in values.indices {
            comparable = comparable && values[index].isFinite
            let difference = abs(Double(values[index]) - Double(reference[index]))
            error += difference * difference
            power += Double(reference[index]) * Double(reference[index])
            if difference > largestError {
                (largestError, worstIndex, actual, expected) = (difference, index, values[index], reference[index])
            }
        }
        normalizedMeanSquare = error == 0 ? 0 : error / max(power, .leastNormalMagnitude)
    }

    /// Whether the values agree to within `largest` everywhere and to within `nmse` on the whole.
    public func within(largest: Double, nmse: Double = 1e-10) -> Bool {
        comparable && largestError <= largest && normalizedMeanSquare <= nmse
    }

    public var description: String {
        "comparable \(comparable), largest error \(largestError) at \(worstIndex) (\(actual) for \(expected)), nmse \(normalizedMeanSquare)"
    }
}
