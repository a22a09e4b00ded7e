import Foundation
import Glibc
import Places
public import Runtime
import Sentences

/// Shows progress on standard error: on a terminal a bar, elsewhere at most one plain line a step.
public struct ProgressView {
    private enum Style: Equatable {
        case bar(columns: Int)
        case lines
        /// Only lines that stay.
        case notes
        case none
    }

    private let style: Style
    /// The phase and step of the last plain line.
    private var lastStep = ""
    private var barIsShown = false
    /// Lines that must not repeat.
    private var said: Set<String> = []

    /// A bar if the terminal is wide enough, otherwise lines.
    ///
    /// - Parameter tellsSteps: whether steps get lines; for many pictures they would be too many.
    public init(quiet: Bool, tellsSteps: Bool = true) {
        var size = winsize()
        let columns = ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 ? Int(size.ws_col) : 0
        style = quiet ? .none : columns >= 40 ? .bar(columns: columns) : tellsSteps ? .lines : .notes
    }

    /// Shows one event of a job. Returns the result if there is one; throws if the job failed.
    public mutating func show(_ event: JobEvent) throws(RuntimeError) -> RenderResult? {
        switch event {
        case .queued(let position): if position > 0 { note("queued, \(position) before this one") }
        case .started(let plan): for line in plan.summaryLines { noteOnce(TerminalText.printable(line)) }
        case .progress(let progress): show(progress)
        case .waiting(let reason): note("waiting: \(TerminalText.printable(reason.spelled(\.option)))")
        case .finished(let result): return result
        case .failed(let error): throw error
        }
        return nil
    }

    private mutating func show(_ progress: JobProgress) {
        let place = progress.place.renamed(TerminalText.printable)
        switch style {
        case .none, .notes: return
        case .bar(let columns):
            writeError("\r\u{1B}[K" + Self.bar(progress, at: place, columns: columns))
            barIsShown = true
        case .lines:
            let step = place.title
            if step != lastStep { writeError("\(step), \(Self.details(progress))\n") }
            lastStep = step
        }
    }

    /// A plain line that stays, above the bar if there is one.
    public mutating func note(_ text: String) {
        guard style != .none else { return }
        clear()
        writeError(text + "\n")
    }

    /// A line that is not repeated: the pictures of one command have most of their plans in common.
    public mutating func noteOnce(_ text: String) {
        if said.insert(text).inserted { note(text) }
    }

    /// Clears the bar.
    public mutating func clear() {
        if barIsShown { writeError("\r\u{1B}[K") }
        barIsShown = false
    }

    /// `16 of 40 patches, 2 workers, 0:12 left`.
    private static func details(_ progress: JobProgress) -> String {
        let patches = "\(progress.tasksDone) of \(progress.tasksTotal) patches, "
        let workers = progress.workers == 1 ? "1 worker" : "\(progress.workers) workers"
        return patches + workers + (progress.estimatedRemaining.map { ", \(clock($0 / .seconds(1))) left" } ?? "")
    }

    /// `structure  3/12 [#####.....] 16 of 40 patches, 2 workers, 0:12 left`: the bar fills over the whole job. Pictures in
    /// stages have `stage 2/3 ` before it.
    private static func bar(_ progress: JobProgress, at place: Place<String>, columns: Int) -> String {
        let details = details(progress)
        let stage = place.stageCount > 1 ? "stage \(place.stage + 1)/\(place.stageCount) " : ""
        let head = stage + "\(TerminalText.padded(place.phase, 9)) \(place.step + 1)/\(place.stepCount) "
        // One column stays free: a full line wraps on some terminals.
        let room = columns - 1 - head.count - (1 + details.count) - 2
        guard room >= 6 else { return String("\(head) \(details)".prefix(columns - 1)) }
        let width = min(room, 40)
        let done = Double(progress.tasksDone) / Double(max(1, progress.tasksTotal))
        let filled = min(width, max(0, Int(Double(width) * done)))
        let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: width - filled)
        return "\(head)[\(bar)] \(details)"
    }

    /// Minutes and seconds, from one hour on with hours.
    private static func clock(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds >= 0, seconds < 1e7 else { return "?" }
        let total = Int(seconds.rounded())
        let (hours, minutes, rest) = (total / 3600, total / 60 % 60, total % 60)
        return hours > 0 ? String(format: "%d:%02d:%02d", hours, minutes, rest) : String(format: "%d:%02d", minutes, rest)
    }
}
