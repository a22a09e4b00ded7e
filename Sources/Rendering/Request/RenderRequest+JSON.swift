import Sentences
public import StrictJSON

extension RenderRequest {
    /// The request for the wire: one object, and the pixels of the source picture if there is one. The object holds only the
    /// picture's size and hash.
    public func encoded() -> (metadata: JSONValue, payload: [UInt8]) { (json, source?.payload ?? []) }

    /// Reads what `encoded()` writes, and checks it as `validated()` does. Throws `.invalidRequest`, also for unknown keys.
    public init(metadata json: JSONValue, payload: [UInt8] = []) throws(RenderError) {
        self.init()
        guard let object = json.objectValue else {
            throw .invalidRequest("A request must be a JSON object, not \(json.kindName).", aboutAll: [])
        }
        if let unknown = Self.unknownMember(of: object) {
            throw .invalidRequest("A request has no setting \"\(unknown.prefix(60))\".", aboutAll: [])
        }
        for setting in Self.settings where !setting.read(object, &self) {
            throw RenderError.invalidRequest(
                "The request's \"\(setting.members[0])\" must be \(setting.kind).", aboutAll: []
            ).about(setting.fault(object[setting.members[0]]))
        }
        if let picture = object[RequestSetting.sourceMember] {
            source = try SourcePicture(json: picture, payload: payload)
        } else if !payload.isEmpty {
            throw .invalidRequest("The request has no \"source\", but a picture was sent with it.", about: .initImg)
        }
        try validated()
    }
}

extension RequestSetting<RenderRequest> {
    fileprivate static let sourceMember = "source"

    /// The picture to start from. Its pixels are beside the object on the wire.
    static let source = RequestSetting.member(sourceMember) { $0.source?.json }
}
