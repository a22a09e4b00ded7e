internal import CSystem
internal import Cluster
internal import ImageFiles
internal import Messages
internal import StrictJSON

/// The thread that plans, merges and writes pictures, so that the I/O thread never computes.
final class JobThread: Sendable {
    enum Command: Sendable {
        /// Make an engine for a request from the wire.
        case create(JobID, request: EncodedPart, model: String?)
        /// Begin with an engine that exists.
        case begin(JobID, any JobEngine)
        /// Merge a barrier's outputs, which workers of one numerics class computed.
        case complete(JobID, serial: Int, [EncodedPart], numericsClass: String)
        case drop(JobID)
        case stop
    }

    /// What it tells the I/O thread.
    enum Report: Sendable {
        case planned(JobID, JobPlan, model: String)
        case barrier(JobID, serial: Int, EngineBarrier, cpu: Int64)
        case rejected(JobID, serial: Int, index: Int, FailureClass, String, cpu: Int64)
        case finished(JobID, FinishedPicture, cpu: Int64)
        case failed(JobID, RuntimeError)
        /// The request itself was refused.
        case refused(JobID, RuntimeError)
    }

    struct FinishedPicture: Sendable {
        var png: [UInt8]
        var width: Int
        var height: Int
        var parameters: String
        /// CPU time of writing the file.
        var encoding: Int64
    }

    let mailbox: Mailbox<Command>
    private let thread: OSThread

    /// - Parameter report: called on this thread.
    init(factory: any JobEngineFactory, report: @escaping @Sendable (Report) -> Void) throws(RuntimeError) {
        let mailbox = try Mailbox<Command>()
        self.mailbox = mailbox
        thread = try OSThread(named: "pl-jobs") {
            var worker = JobThreadWorker(factory: factory, report: report)
            while worker.takes(mailbox.wait()) {}
        }
    }

    func stop() {
        mailbox.post(.stop)
        thread.join()
    }
}

/// What lives on the job thread.
private struct JobThreadWorker {
    private struct Running {
        var engine: any JobEngine
        var serial: Int
    }

    let factory: any JobEngineFactory
    let report: @Sendable (JobThread.Report) -> Void
    private var jobs: [JobID: Running] = [:]

    init(factory: any JobEngineFactory, report: @escaping @Sendable (JobThread.Report) -> Void) {
        self.factory = factory
        self.report = report
    }

    /// False when it was told to stop.
    mutating func takes(_ commands: [JobThread.Command]) -> Bool {
        for command in commands {
            switch command {
            case .create(let id, let request, let model):
                do throws(RuntimeError) {
                    begin(id, try factory.makeEngine(request: request, model: model))
                } catch {
                    report(.refused(id, error))
                }
            case .begin(let id, let engine): begin(id, engine)
            case .complete(let id, let serial, let outputs, let numericsClass): complete(id, serial, outputs, numericsClass)
            case .drop(let id): jobs[id] = nil
            case .stop: return false
            }
        }
        return true
    }

    private mutating func begin(_ id: JobID, _ engine: any JobEngine) {
        report(.planned(id, engine.plan, model: engine.model))
        var engine = engine
        let watch = ThreadStopwatch()
        do throws(EngineError) {
            let barrier = try engine.start()
            jobs[id] = Running(engine: engine, serial: 0)
            report(.barrier(id, serial: 0, barrier, cpu: watch.elapsed))
        } catch {
            fail(id, error)
        }
    }

    private mutating func complete(_ id: JobID, _ serial: Int, _ outputs: [EncodedPart], _ numericsClass: String) {
        guard var running = jobs.removeValue(forKey: id), running.serial == serial else { return }
        let watch = ThreadStopwatch()
        do throws(EngineError) {
            switch try running.engine.complete(outputs) {
            case .barrier(let barrier):
                running.serial += 1
                report(.barrier(id, serial: running.serial, barrier, cpu: watch.elapsed))
                jobs[id] = running
            case .finished(let picture): finish(id, picture, numericsClass, merge: watch.elapsed)
            }
        } catch {
            if case .rejected(let index, let failure, let text) = error {
                jobs[id] = running
                let failureClass: FailureClass = failure == .nonFinite ? .nonFinite : .payload
                report(.rejected(id, serial: serial, index: index, failureClass, text, cpu: watch.elapsed))
            } else {
                fail(id, error)
            }
        }
    }

    /// Writes the file, with what made the picture and on which kind of machine.
    private func finish(_ id: JobID, _ picture: EnginePicture, _ numericsClass: String, merge: Int64) {
        let watch = ThreadStopwatch()
        var details = picture.details.objectValue ?? JSONObject()
        details["numerics_class"] = .string(numericsClass)
        let texts = [
            PNGText(keyword: "parameters", value: picture.parameters),
            PNGText(keyword: "patchloom", value: JSONValue.object(details).canonicalText),
        ]
        do throws(ImageFileError) {
            let png = try PNGEncoder.encode(rgb: picture.rgb, width: picture.width, height: picture.height, text: texts)
            let finished = JobThread.FinishedPicture(
                png: png, width: picture.width, height: picture.height, parameters: picture.parameters, encoding: watch.elapsed)
            report(.finished(id, finished, cpu: merge))
        } catch {
            report(.failed(id, RuntimeError(.jobFailed, error.message)))
        }
    }

    private func fail(_ id: JobID, _ error: EngineError) {
        switch error {
        case .failed(let error): report(.failed(id, error))
        case .rejected(_, _, let text): report(.failed(id, RuntimeError(.jobFailed, text)))
        }
    }
}
