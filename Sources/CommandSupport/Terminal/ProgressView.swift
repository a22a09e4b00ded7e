import CSystem
import Places

/// The progress of a job, for the display.
struct ProgressSnapshot: Sendable, Equatable {
    var place: Place<String>
    /// Of the whole job, like the number below.
    var patchesDone: Int
    var patchCount: Int
    var workers: Int
    var secondsLeft: Double?
}

/// Shows progress on standard error: on a terminal a bar, elsewhere at most one plain line a step.
public struct ProgressView {
    enum Style: Equatable {
        case bar(columns: Int)
        case lines
        /// Only lines that stay.
        case notes
        case none
    }

    private let style: Style
    private let write: (String) -> Void
    /// The phase and step of the last plain line.
    private var lastStep = ""
    private var barIsShown = false
    /// Lines that must not repeat.
    private var said: Set<String> = []

    init(style: Style, write: @escaping (String) -> Void = ProgressView.writeToStandardError) {
        self.style = style
        self.write = write
    }

    /// A bar if the terminal is wide enough, otherwise lines.
    ///
    /// - Parameter tellsSteps: whether steps get lines; for many pictures they would be too many.
    public static func suitable(quiet: Bool, tellsSteps: Bool = true) -> ProgressView {
        if quiet { return ProgressView(style: .none) }
        let columns = csystem_is_terminal(2) == 1 ? Int(csystem_terminal_columns(2)) : 0
        return ProgressView(style: columns >= 40 ? .bar(columns: columns) : tellsSteps ? .lines : .notes)
    }

    mutating func show(_ snapshot: ProgressSnapshot) {
        switch style {
        case .none, .notes: return
        case .bar(let columns):
            write("\r\u{1B}[K" + Self.bar(snapshot, columns: columns))
            barIsShown = true
        case .lines:
            let place = snapshot.place
            let step = place.stageTitle + "\(place.phase) step \(place.step + 1) of \(place.stepCount)"
            if step != lastStep { write("\(step), \(Self.details(snapshot))\n") }
            lastStep = step
        }
    }

    /// A plain line that stays, above the bar if there is one.
    public mutating func note(_ text: String) {
        guard style != .none else { return }
        clear()
        write(text + "\n")
    }

    /// A line that is not repeated: the pictures of one command have most of their plans in common.
    public mutating func noteOnce(_ text: String) {
        if said.insert(text).inserted { note(text) }
    }

    /// Clears the bar.
    public mutating func clear() {
        if barIsShown { write("\r\u{1B}[K") }
        barIsShown = false
    }

    /// `16 of 40 patches, 2 workers, 0:12 left`.
    static func details(_ snapshot: ProgressSnapshot) -> String {
        var parts = ["\(snapshot.patchesDone) of \(snapshot.patchCount) patches"]
        parts.append(snapshot.workers == 1 ? "1 worker" : "\(snapshot.workers) workers")
        if let left = snapshot.secondsLeft { parts.append("\(clock(left)) left") }
        return parts.joined(separator: ", ")
    }

    /// `structure  3/12 [#####.....] 16 of 40 patches, 2 workers, 0:12 left`: the bar fills over the whole job. Pictures in
    /// stages have `stage 2/3 ` before it.
    static func bar(_ snapshot: ProgressSnapshot, columns: Int) -> String {
        let place = snapshot.place
        let stage = place.stageCount > 1 ? "stage \(place.stage + 1)/\(place.stageCount) " : ""
        let head = stage + "\(padded(place.phase, 9)) \(place.step + 1)/\(place.stepCount) "
        let tail = " " + details(snapshot)
        // One column stays free: a full line wraps on some terminals.
        let room = columns - 1 - head.count - tail.count - 2
        guard room >= 6 else { return String((head + tail).prefix(columns - 1)) }
        let width = min(room, 40)
        let done = Double(snapshot.patchesDone) / Double(max(1, snapshot.patchCount))
        let filled = min(width, max(0, Int(Double(width) * done)))
        return head + "[" + String(repeating: "#", count: filled) + String(repeating: ".", count: width - filled) + "]" + tail
    }

    /// Minutes and seconds, from one hour on with hours.
    static func clock(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds >= 0, seconds < 1e7 else { return "?" }
        let total = Int(seconds.rounded())
        let rest = "\(twoDigits(total / 60 % 60)):\(twoDigits(total % 60))"
        return total >= 3600 ? "\(total / 3600):\(rest)" : "\(total / 60):\(twoDigits(total % 60))"
    }

    private static func twoDigits(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }

    private static func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    static func writeToStandardError(_ text: String) { writeAll(Array(text.utf8), to: 2) }
}
