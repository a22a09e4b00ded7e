import Messages
import Places
import Sentences
import StrictJSON

/// One message of every type, with every field set.
enum SampleMessages {
    static let digest = String(repeating: "0123456789abcdef", count: 4)

    static var hello: Message {
        var worker = Hello.Worker(
            worker: UniqueID(high: 1, low: 2), slots: 1, credit: 2, numericsClass: "x86_64-avx2-f32", precision: "f32",
            models: [digest])
        worker.heldLeases = [7, 8]
        worker.unackedResults = [6]
        return .hello(
            Hello(
                build: "patchloom 0.1", instance: UniqueID(high: 3, low: 4), host: "a", name: "a/0", joinToken: "t",
                worker: worker))
    }

    static var all: [Message] {
        let progress = JobProgress(
            Place(phase: "detail", step: 3, stepCount: 25), tasksDone: 40, tasksTotal: 900, workers: 2, elapsed: .seconds(1.5),
            estimatedRemaining: .seconds(2.25))
        var staged = progress
        (staged.place.stage, staged.place.stageCount) = (1, 3)
        return [
            hello,
            .hello(Hello(build: "patchloom 0.1", instance: UniqueID(high: 3, low: 4), host: "a", name: "client")),
            .welcome(
                Welcome(
                    minor: 2, heartbeat: 2000, silence: 10000, lease: 30000, progress: 5000, acceptDelay: 250, resend: 5000,
                    keep: [7])),
            .refuse(Refuse(.busy, "the farm is full", retryAfter: 1000)),
            .ping, .pong,
            .credit(Credit(leases: 2, bytes: 67_108_864)),
            .jobOpen(JobOpen(context: digest, content: EncodedPart(metadata: ["model": "x"], payload: [1, 2, 3, 4]))),
            .jobReady(ContextNote(digest)), .needJob(ContextNote(digest)),
            .lease(
                LeaseGrant(
                    context: digest, milliseconds: 30000,
                    task: EncodedPart(metadata: ["phase": "detail"], payload: [0, 0, 128, 63]))),
            .lease(
                LeaseGrant(
                    context: digest, base: String(digest.reversed()), milliseconds: 30000, more: true, alone: true,
                    task: EncodedPart(metadata: ["phase": "detail"], payload: [0, 0, 128, 63]))),
            .accept(LeaseList([9, 10])),
            .progress(Progress(done: 3, total: 10)),
            .result(
                TaskResult(
                    computeMicroseconds: 4000, wireMicroseconds: 12,
                    effort: TaskResult.Effort(operations: 1 << 56, peakBytes: 1 << 50, peakActivationBytes: 77),
                    output: EncodedPart(metadata: ["shape": [1, 1, 1]], payload: [0, 0, 0, 64]))),
            .resultAck(ResultAcks([.init(lease: 9, verdict: .accepted), .init(lease: 10, verdict: .stale)])),
            .fail(Failure(.nonFinite, "NaN in step 3")),
            .fail(Failure(.worker, "no such model", context: digest)),
            .fail(Failure(.payload, "too wide: choose a smaller \(Setting("width", letter: "W"))")),
            .cancel(LeaseList([9])), .cancelled(LeaseList([9])), .recall(LeaseList([7, 8])),
            .drain(Drain(deadlineMilliseconds: 25000)), .bye(Bye(.drained)), .reset, .jobClose(ContextNote(digest)),
            .submit(Submit(request: EncodedPart(metadata: ["prompt": "an apple"]), model: digest)),
            .submitted(Submitted(position: 1)),
            .jobEvent(.queued(position: 2)), .jobEvent(.started(summary: ["512 x 512"], taskCount: 900)),
            .jobEvent(.progress(progress)), .jobEvent(.progress(staged)), .jobEvent(.waiting("no worker")),
            .jobEvent(.waiting("choose another \(Setting("precision")) or \(Setting("width", letter: "W"))")),
            .jobEvent(.failed(exitCode: 1, sentence: "numeric")),
            .jobEvent(.failed(exitCode: 75, sentence: "no memory: choose \(Setting("vae_tile_size")) 256")),
            .jobResult(ResultChunk(index: 0, count: 1, totalBytes: 3, details: ["width": 8], payload: [1, 2, 3])),
            .jobCancel, .jobFetch(ResultFetch(first: 256, count: 4)),
        ]
    }

    static var address: Header.Address {
        var address = Header.Address(
            epoch: 0x0102_0304_0506_0708, session: 0x1112_1314_1516_1718, sequence: 5, lease: 9,
            job: UniqueID(high: 10, low: 11))
        address.step = 3
        address.taskIndex = 4
        address.attempt = 1
        address.phase = 2
        address.inputDigest = [1, 2, 3, 4]
        return address
    }
}
