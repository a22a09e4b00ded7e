import StrictJSON

/// A count that no machine changes, and the number that it must be.
struct CountCheck {
    enum Expectation: Equatable {
        case exactly(Int)
        case atMost(Int)
    }

    /// The suite and the count: `unet.reorders`.
    var name: String
    var counted: Int
    var expectation: Expectation

    init(name: String, counted: Int, _ expectation: Expectation) {
        (self.name, self.counted, self.expectation) = (name, counted, expectation)
    }

    var holds: Bool {
        switch expectation {
        case .exactly(let number): counted == number
        case .atMost(let number): counted <= number
        }
    }

    /// One line: the counted number, and the expected one if it differs.
    var line: String {
        switch (expectation, holds) {
        case (.exactly, true): "\(name): \(counted)"
        case (.atMost(let number), true): "\(name): \(counted), at most \(number)"
        case (.exactly(let number), false): "\(name): counted \(counted), expected \(number)"
        case (.atMost(let number), false): "\(name): counted \(counted), expected at most \(number)"
        }
    }

    var json: JSONValue {
        let (key, number) =
            switch expectation {
            case .exactly(let number): ("expected", number)
            case .atMost(let number): ("at_most", number)
            }
        return [
            "name": .string(name), "counted": .integer(Int64(counted)), key: .integer(Int64(number)), "holds": .bool(holds),
        ]
    }
}
