/// The names of an enumeration's cases for a help text: `auto, onednn or openblas`.
public func choiceList<Choice: RawRepresentable<String> & CaseIterable>(_: Choice.Type) -> String {
    let names = Choice.allCases.map(\.rawValue)
    guard names.count > 1, let last = names.last else { return names.joined() }
    return names.dropLast().joined(separator: ", ") + " or " + last
}
