import Sentences
public import StrictJSON

extension RenderRequest {
    /// The request as it travels: one object, and the pixels of the source picture where there is one. Of the picture the
    /// object says size and hash only.
    public func encoded() -> (metadata: JSONValue, payload: [UInt8]) { (json, source?.payload ?? []) }

    /// Reads a request without a source picture and checks it as `validated()` does. Throws `.invalidRequest`, also for keys it
    /// does not know.
    public init(json: JSONValue) throws(RenderError) { try self.init(metadata: json, payload: []) }

    /// Reads a request as `encoded()` writes it and checks it as `validated()` does. Throws `.invalidRequest`, also for keys it
    /// does not know.
    public init(metadata json: JSONValue, payload: [UInt8]) throws(RenderError) {
        self.init()
        guard let object = json.objectValue else {
            throw RenderError(.invalidRequest, "A request must be a JSON object, not \(json.kindName).")
        }
        if let unknown = Self.unknownMember(of: object) {
            throw RenderError(.invalidRequest, "A request has no setting \"\(unknown.prefix(60))\".")
        }
        for setting in Self.settings where !setting.read(object, &self) {
            throw RenderError(.invalidRequest, "The request's \"\(setting.members[0])\" must be \(setting.kind).")
        }
        if let picture = object[RequestSetting.sourceMember] {
            source = try SourcePicture(json: picture, payload: payload)
        } else if !payload.isEmpty {
            throw RenderError(.invalidRequest, "A picture came with the request, which has no \"source\".")
        }
        try validated()
    }
}

extension RequestSetting<RenderRequest> {
    fileprivate static let sourceMember = "source"

    /// The picture to start from, whose pixels travel beside the object and are read with it.
    static let source = RequestSetting.member(sourceMember) { $0.source?.json }
}
