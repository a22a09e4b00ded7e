/// The place of a job in its work: a step of a phase of a stage, each counted from 0.
///
/// `Phase` is a string in messages, and an enumeration in modules that know all phases.
public struct Place<Phase: Hashable & Sendable>: Hashable, Sendable {
    /// The stage, and the number of stages of the picture: 1 if it is made in one go.
    public var stage: Int
    public var stageCount: Int
    public var phase: Phase
    /// The step within the phase of its stage, and the number of its steps.
    public var step: Int
    public var stepCount: Int

    public init(stage: Int = 0, stageCount: Int = 1, phase: Phase, step: Int = 0, stepCount: Int = 1) {
        (self.stage, self.stageCount, self.phase, self.step, self.stepCount) = (stage, stageCount, phase, step, stepCount)
    }

    /// The same place with another word for its phase.
    public func renamed<Name>(_ name: (Phase) -> Name) -> Place<Name> {
        Place<Name>(stage: stage, stageCount: stageCount, phase: name(phase), step: step, stepCount: stepCount)
    }

    /// `stage 2 of 3, ` for people; nothing for a picture that is made in one go.
    public var stageTitle: String { stageCount > 1 ? "stage \(stage + 1) of \(stageCount), " : "" }
}

extension Place<String> {
    /// `stage 2 of 3, detail step 4 of 20` for people, counted from 1.
    public var title: String { "\(stageTitle)\(phase) step \(step + 1) of \(stepCount)" }
}

/// The progress of a job.
public struct JobProgress: Sendable, Equatable {
    /// The phase is encode, picture, denoise, structure, detail or decode.
    public var place: Place<String>
    /// The finished tasks, and all tasks, of the whole job.
    public var tasksDone: Int
    public var tasksTotal: Int
    public var workers: Int
    public var elapsed: Duration
    /// The expected time until the end; nil until there is an estimate.
    public var estimatedRemaining: Duration?

    public init(
        _ place: Place<String>, tasksDone: Int, tasksTotal: Int, workers: Int, elapsed: Duration, estimatedRemaining: Duration?
    ) {
        (self.place, self.workers) = (place, workers)
        (self.tasksDone, self.tasksTotal) = (tasksDone, tasksTotal)
        (self.elapsed, self.estimatedRemaining) = (elapsed, estimatedRemaining)
    }
}
