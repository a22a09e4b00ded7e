package import Cluster
public import Weights

/// How a coordinator is set up.
public struct CoordinatorOptions: Sendable {
    /// Where it listens: `tcp://HOST:PORT`, `ipc://PATH`, or `ipc://@NAME` for a name that leaves no file.
    public var endpoint: String
    /// The models jobs may ask for; the first is the one they get when they name none.
    public var models: [ModelSource]
    /// The model store whose names clients may use for these models; nil for none.
    public var store: ModelStore?
    /// The LoRA files that jobs may name.
    public var loras = LoRALibrary.empty
    /// A secret that workers and clients must know, nil to take everybody who reaches the address.
    public var joinToken: String?
    /// Whether the coordinator and its workers are one program: then a lost connection is a dead worker (nobody waits for it to
    /// come back), and a job that no worker can take for a minute fails.
    public var ownsItsWorkers: Bool
    /// One line for each thing an operator may want to know. Called on the coordinator's thread.
    public var log: (@Sendable (String) -> Void)?
    /// Called once, on the coordinator's thread, when it has ended by itself because its socket broke; its jobs have failed
    /// with the same error.
    public var onFailure: (@Sendable (RuntimeError) -> Void)?
    /// Overrides of the cluster's numbers, for tests.
    package var parameters: ClusterParameters?

    public init(
        endpoint: String, models: [ModelSource], joinToken: String? = nil, ownsItsWorkers: Bool = false,
        log: (@Sendable (String) -> Void)? = nil
    ) {
        self.endpoint = endpoint
        self.models = models
        self.joinToken = joinToken
        self.ownsItsWorkers = ownsItsWorkers
        self.log = log
    }

    var clusterParameters: ClusterParameters {
        if let parameters { return parameters }
        var parameters = ClusterParameters()
        if ownsItsWorkers {
            parameters.reconnectGrace = .milliseconds(0)
            parameters.failsStarvedJobs = true
        }
        return parameters
    }
}
