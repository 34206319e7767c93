-- What a run of ConTeXt read and wrote, for Ninja.
--
-- At the end of the last pass this writes, beside the result, JOB.dep: a depfile whose target is the
-- PDF (`depfile = $out_stem.dep`), and JOB.written: the files that the pass made, one a line. Both
-- appear by rename, so nobody reads half of one. After a TeX error neither is written, nor where
-- `--errors` makes a missing file one.
--
-- Files that TeX itself opens are known to the resolver, figures to the figure base. What Lua code
-- opens is seen by wrapping io.open and ConTeXt's helpers around it.
-- Files of the installation's own trees are left out, and so are the run's own.

-- The other modules of cpods share what is here: `outputs` are names that are never dependencies,
-- and what is given to `at_end` is run before that, if there is no error.

local open = io.open
local read, written = { }, { }
local last_actions, failed = { }, false

thirddata = thirddata or { }
local cpods = { open = open, outputs = { } }
thirddata.cpods = cpods

function cpods.at_end(action)
    last_actions[#last_actions + 1] = action
end

function cpods.wrote(name)
    written[name] = true
end

-- The run fails, though TeX is content.
function cpods.fail()
    failed = true
end

local function recording(name, mode)
    local file, why, code = open(name, mode)
    if file and type(name) == "string" then
        if type(mode) == "string" and string.find(mode, "[wa+]") then
            written[name] = true
        else
            read[name] = true
        end
    end
    return file, why, code
end

io.open = recording

-- ConTeXt's own helpers took the original long ago.
local function noting(name, set)
    local helper = io[name]
    if helper then
        io[name] = function(file, ...)
            local results = table.pack(helper(file, ...))
            if type(file) == "string" and results[1] then
                set[file] = true
            end
            return table.unpack(results, 1, results.n)
        end
    end
end

noting("loaddata", read)
noting("loadlines", read)
noting("loadchunk", read)
noting("savedata", written)

-- The installation's trees. A project's and a user's own (TEXMFPROJECT, TEXMFHOME) are none of them.
local trees = { }

for _, variable in ipairs { "TEXMFMAIN", "TEXMFDIST", "TEXMFLOCAL", "TEXMFSYSTEM", "TEXMFFONTS",
                            "TEXMFCONTEXT", "TEXMFCACHE", "TEXMFSYSVAR", "TEXMFSYSCONFIG",
                            "TEXMFVAR", "TEXMFCONFIG", "TEXMFDEBIAN" } do
    for tree in string.gmatch(resolvers.expansion(variable) or "", "[^;{},]+") do
        tree = string.gsub(resolvers.cleanpath(tree) or tree, "^!!", "")
        if string.sub(tree, 1, 1) == "/" then
            trees[#trees + 1] = string.gsub(tree, "/*$", "/")
        end
    end
end

local here = string.gsub(lfs.currentdir(), "/*$", "/")

-- As Ninja will see it: below the working directory without its path, else as it was named.
local function tidy(name)
    name = string.gsub(name, "^%./+", "")
    if string.sub(name, 1, #here) == here then
        name = string.sub(name, #here + 1)
    end
    return name
end
cpods.tidy = tidy

local function is_of_a_tree(name)
    for _, tree in ipairs(trees) do
        if string.sub(name, 1, #tree) == tree then
            return true
        end
    end
    -- ConTeXt's own, of whatever installation.
    return string.find(name, "/texmf[^/]*/tex/context/") ~= nil
        or string.find(name, "/luatex%-cache/") ~= nil
        or string.find(name, "t%-cpods%-[a-z]+%.[a-z]+$") ~= nil
end

-- Make's syntax, as Ninja reads it.
local function escape(name)
    return (string.gsub(string.gsub(name, "%$", "$$$$"), "([ #])", "\\%1"))
end

local function sorted(names)
    local list = { }
    for name in next, names do
        list[#list + 1] = name
    end
    table.sort(list)
    return list
end
cpods.sorted = sorted

local function save(name, content)
    local aside = name .. ".part"
    local file = open(aside, "wb")
    if not file then
        return false
    end
    local done = file:write(content)
    done = file:close() and done and os.rename(aside, name)
    if not done then
        os.remove(aside)
    end
    return done
end
cpods.save = save

local function content_of(name)
    local file = open(name, "rb")
    local content = file and file:read("*a")
    if file then
        file:close()
    end
    return content
end

-- So that nothing is built again for a list that says the same.
local function save_changed(name, content)
    return content_of(name) == content or save(name, content)
end
cpods.save_changed = save_changed

-- ConTeXt runs TeX again until what passes tell each other, JOB.tuc, is what it was. This pass's is
-- JOB.tua until it ends.
local function is_last_pass(job)
    local arguments = environment.arguments or { }
    local run, forced = tonumber(arguments.currentrun), tonumber(arguments.forcedruns)
    local kind, most = tonumber(arguments.kindofrun), tonumber(arguments.maxnofruns)
    if not run or kind == 3 or kind == 4 or (most and run >= most) then
        return true
    elseif forced then
        return run == forced
    end
    local mine = content_of(job .. ".tua")
    return mine == nil or mine == content_of(job .. ".tuc")
end

local function finish()
    local arguments = environment.arguments or { }
    local job = environment.jobname or tex.jobname
    if not is_last_pass(job) then
        return
    end
    for _, action in ipairs(last_actions) do
        action()
    end

    local own = { }
    for _, suffix in ipairs { "pdf", "log", "tuc", "tua", "dep", "written", "steps" } do
        own[job .. "." .. suffix] = true
    end

    local names = { }
    local function add(name)
        if type(name) == "string" and name ~= "" then
            name = tidy(name)
            if not is_of_a_tree(name) and not own[name] and not cpods.outputs[name]
                and lfs.isfile(name) then
                names[name] = true
            end
        end
    end
    add(arguments.fulljobname)
    for _, found in ipairs(resolvers.foundintrees()) do
        add(type(found) == "table" and found.foundname or found)
    end
    for _, found in next, figures and figures.found or { } do
        add(type(found) == "table" and found.fullname or found)
    end
    for name in next, read do
        add(name)
    end

    local made = { }
    for name in next, written do
        name = tidy(name)
        -- A file that the run makes is none that it depends on.
        names[name] = nil
        if not is_of_a_tree(name) and not own[name] and lfs.isfile(name) then
            made[name] = true
        end
    end

    local result = string.gsub(arguments.result or job, "%.pdf$", "") .. ".pdf"
    local lines = { escape(result) .. ":" }
    for _, name in ipairs(sorted(names)) do
        lines[#lines + 1] = " " .. escape(name)
    end
    save_changed(job .. ".dep", table.concat(lines, " \\\n") .. "\n")
    local list = sorted(made)
    -- Ninja looks at the files in a list when that is newer, since Lua may have written them again.
    if #list > 0 then
        save(job .. ".written", table.concat(list, "\n") .. "\n")
    else
        save_changed(job .. ".written", "")
    end
end

-- After everything else, since only then it is known whether something is missing.
local final = logs.finalactions
function logs.finalactions(...)
    local wrong = final(...)
    if not wrong then
        finish()
        wrong = failed and { "cpods" }
    end
    return wrong
end
