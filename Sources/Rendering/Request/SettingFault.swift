public import Sentences
public import StrictJSON

/// A setting at fault, for programs that show an error beside the setting's field.
public struct SettingFault: Sendable, Equatable {
    public let setting: Setting
    /// The refused value as in a request's JSON, or the refused word as a string. nil if only the sentence tells it: if several
    /// settings do not go together, if the value does not fit the model or the method, if it is too long, and for NaN and
    /// infinity, which JSON does not have.
    public let value: JSONValue?
    /// The values that the setting may have; nil if only the error's sentence says them.
    public let possible: PossibleValues?

    public init(_ setting: Setting, value: JSONValue? = nil, possible: PossibleValues? = nil) {
        (self.setting, self.possible) = (setting, possible)
        self.value = if case .number(let number) = value, !number.isFinite { nil } else { value }
    }
}

/// The values that a setting may have.
public enum PossibleValues: Sendable, Equatable {
    /// One of these strings.
    case choices([String])
    /// A number between two bounds.
    ///
    /// - Parameters:
    ///   - isOpen: whether the lower bound itself is impossible.
    ///   - multiple: the number must be a multiple of this one.
    case numbers(ClosedRange<Double>, isOpen: Bool = false, multiple: Int = 1)
}
