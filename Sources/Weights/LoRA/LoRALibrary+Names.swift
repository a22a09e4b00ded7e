import FileLinks
import Sentences

extension LoRALibrary {
    /// The file with a name.
    ///
    /// - A name without a slash is a file's name anywhere below the folders, as in A1111's tags.
    /// - A name with slashes is a path below a folder.
    /// - If no file has this name, it is the `ss_output_name` that trainers write into a file's head.
    ///
    /// The ending is optional and may have any case. The case of the name counts; accents are compared as Unicode defines.
    /// Files of equal content, and two paths to one file, count as one file. A broken link counts as a file.
    ///
    /// Throws `.notFound` with the remedy, `.badPath` for a name that leads out of the folders, `.badOption` with the paths if
    /// several files fit, and the errors of the file.
    public func file(named name: String) throws(WeightsError) -> LoRAFile {
        try checkName(name)
        let stem = LoRAListing.withoutEnding(name)
        let isPath = name.utf8.contains(UInt8(ascii: "/"))
        // A path, and the top of a folder, work even where the listing ends early.
        var named = folders.flatMap { LoRAListing.entries(at: name, below: $0, limits: limits) }
        if isPath, !named.isEmpty { return try theOnly(named, called: name) }
        var listing = LoRAListing(folders, limits: limits)
        if !isPath { named += listing.entries.filter { $0.stem == stem } }
        if !named.isEmpty { return try theOnly(named, called: name) }

        var aliases: [(name: String, entry: LoRAListing.Entry)] = []
        for entry in listing.entries where entry.isFile {
            switch head(of: entry.path) {
            case .named(let alias?) where !alias.isEmpty: aliases.append((alias, entry))
            case .named: break
            case .unreadable: listing.passedOver.append(entry.path)
            }
        }
        let alike = aliases.filter { LoRAListing.withoutEnding($0.name) == stem }.map(\.entry)
        if !alike.isEmpty { return try theOnly(alike, called: name) }
        // Refuses a file of another format by name.
        if let foreign = listing.foreign.first(where: { isCalled(name, $0) }) {
            return try LoRAFile(path: foreign.path, digests: digests)
        }
        let names = listing.entries.flatMap { entry in
            [entry.stem, LoRAListing.withoutEnding(entry.relative)].map { (name: $0, entry: entry) }
        }
        let near = (names + aliases).first { $0.name.lowercased() == stem.lowercased() }
        throw notFound(name, near, listing)
    }

    /// Whether a file of another format has this name or path, with or without its ending.
    private func isCalled(_ name: String, _ foreign: LoRAListing.Entry) -> Bool {
        let own = name.utf8.contains(UInt8(ascii: "/")) ? foreign.relative : LoRAListing.lastPart(foreign.relative)
        let ending = ForeignFormat.ending(of: own) ?? ""
        return [own, String(own.dropLast(ending.count))].contains { $0 == name || $0 == LoRAListing.withoutEnding(name) }
    }

    private func checkName(_ name: String) throws(WeightsError) {
        guard FileStore.isInside(name), name.utf8.count <= 1024 else {
            throw .badPath(
                "\(quoted(name)) is not a name of a LoRA file; give the name of a file in the folder of \(.loraModelDir).")
        }
        guard !folders.isEmpty else {
            throw .notFound("There is no folder to find the LoRA \(quoted(name)) in; name its folder by \(.loraModelDir).")
        }
    }

    /// The file of all candidates, if they are one file.
    private func theOnly(_ candidates: [LoRAListing.Entry], called name: String) throws(WeightsError) -> LoRAFile {
        let first = candidates[0]
        // If none can be read, opening one gives the reason.
        guard candidates.contains(where: \.isFile), let other = candidates.dropFirst().first(where: { !isSame(first, $0) })
        else { return try LoRAFile(path: first.path, digests: digests) }
        let paths = [first, other].map { LoRAListing.withoutEnding($0.relative) }
        let example = paths[0] == paths[1] || name.contains("/") ? nil : paths.first { $0.contains("/") }
        let remedy: Sentence =
            if let example { "name one by its path below the folder, such as \(example), or rename one" } else {
                "rename one, or give the whole path of one to \(.lora)"
            }
        throw .badOption("The LoRA \(quoted(name)) may be \(described(first)) or \(described(other)); \(remedy).")
    }

    private func described(_ entry: LoRAListing.Entry) -> String {
        guard entry.stamp == nil, let target = BrokenLink.target(of: entry.path) else { return entry.path }
        return "\(entry.path) (a link to \(target), which is not there)"
    }

    private func isSame(_ a: LoRAListing.Entry, _ b: LoRAListing.Entry) -> Bool {
        // Paths that Unicode calls equal may name two files.
        if a.path.utf8.elementsEqual(b.path.utf8) { return true }
        guard let (one, two) = a.stamp.flatMap({ one in b.stamp.map { (one, $0) } }) else { return false }
        if one.place == two.place { return true }
        // Files of other sizes need not be hashed.
        guard a.isFile, b.isFile, one.size == two.size, let digest = digest(of: a.path) else { return false }
        return digest == self.digest(of: b.path)
    }

    private func notFound(
        _ name: String, _ near: (name: String, entry: LoRAListing.Entry)?, _ listing: LoRAListing
    ) -> WeightsError {
        let places = folders.joined(separator: ", ")
        let file = LoRAListing.withoutEnding(name) + Self.ending
        let shown = file.contains(where: \.isWhitespace) ? quoted(file) : file
        let remedy: Sentence =
            if let near {
                "did you mean \(quoted(near.name)), which is \(near.entry.path)?"
            } else {
                "put \(shown) there, or name another folder by \(.loraModelDir)."
            }
        return .notFound("There is no LoRA \(quoted(name)) in \(places)\(Self.gaps(listing)); \(remedy)")
    }
}
