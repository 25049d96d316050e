<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="de" sourcelanguage="en">
<context>
    <name>Area</name>
    <message>
        <source>Attribute with a prompt for each polygon</source>
        <translation>Attribut mit einem Prompt für jedes Polygon</translation>
    </message>
    <message>
        <source>Each polygon of the layer, selected or not, gets what its attribute says; the prompt fills the rest.</source>
        <translation>Jedes Polygon des Layers, ob gewählt oder nicht, bekommt, was sein Attribut sagt; der Prompt füllt den Rest.</translation>
    </message>
    <message>
        <source>Extent, instead of polygons</source>
        <translation>Ausdehnung, statt Polygonen</translation>
    </message>
    <message>
        <source>Give a polygon layer or an extent, not both.</source>
        <translation>Geben Sie einen Polygonlayer oder eine Ausdehnung an, nicht beides.</translation>
    </message>
    <message>
        <source>Say where: give a polygon layer or an extent.</source>
        <translation>Sagen Sie, wo: Geben Sie einen Polygonlayer oder eine Ausdehnung an.</translation>
    </message>
    <message>
        <source>The attribute with prompts belongs to a polygon layer; give one.</source>
        <translation>Das Attribut mit den Prompts gehört zu einem Polygonlayer; geben Sie einen an.</translation>
    </message>
</context>
<context>
    <name>CheckInstallation</name>
    <message>
        <source>Check rsgeo installation</source>
        <translation>Installation von rsgeo prüfen</translation>
    </message>
    <message>
        <source>Device: {}</source>
        <translation>Gerät: {}</translation>
    </message>
    <message>
        <source>Model: {}</source>
        <translation>Modell: {}</translation>
    </message>
    <message>
        <source>Python</source>
        <translation>Python</translation>
    </message>
    <message>
        <source>Python: {} ({})</source>
        <translation>Python: {} ({})</translation>
    </message>
    <message>
        <source>Report (JSON)</source>
        <translation>Bericht (JSON)</translation>
    </message>
    <message>
        <source>Starts the Python that runs rsgeo and says its version, models, devices and free memory. Nothing is changed.</source>
        <translation>Startet das Python, in dem rsgeo läuft, und nennt Version, Modelle, Geräte und freien Speicher. Es wird nichts geändert.</translation>
    </message>
    <message>
        <source>Tools</source>
        <translation>Werkzeuge</translation>
    </message>
    <message>
        <source>rsgeo</source>
        <translation>rsgeo</translation>
    </message>
    <message>
        <source>rsgeo: {}</source>
        <translation>rsgeo: {}</translation>
    </message>
</context>
<context>
    <name>Dock</name>
    <message>
        <source>Again</source>
        <translation>Noch einmal</translation>
    </message>
    <message>
        <source>Area</source>
        <translation>Gebiet</translation>
    </message>
    <message>
        <source>Cancel</source>
        <translation>Abbrechen</translation>
    </message>
    <message>
        <source>Cancelled; nothing is written.</source>
        <translation>Abgebrochen; es wurde nichts geschrieben.</translation>
    </message>
    <message>
        <source>Copied: {}</source>
        <translation>Kopiert: {}</translation>
    </message>
    <message>
        <source>Copy as command line</source>
        <translation>Als Kommandozeile kopieren</translation>
    </message>
    <message>
        <source>Date</source>
        <translation>Datum</translation>
    </message>
    <message>
        <source>Draw area</source>
        <translation>Gebiet zeichnen</translation>
    </message>
    <message>
        <source>Four variants</source>
        <translation>Vier Varianten</translation>
    </message>
    <message>
        <source>GSD</source>
        <translation>Bodenauflösung</translation>
    </message>
    <message>
        <source>Generate</source>
        <translation>Erzeugen</translation>
    </message>
    <message>
        <source>Generating</source>
        <translation>Wird erzeugt</translation>
    </message>
    <message>
        <source>Image file</source>
        <translation>Bilddatei</translation>
    </message>
    <message>
        <source>Left button: a corner. Right button: done. Escape: the last corner was none.</source>
        <translation>Linke Taste: eine Ecke. Rechte Taste: fertig. Escape: Die letzte Ecke war keine.</translation>
    </message>
    <message>
        <source>Made before</source>
        <translation>Früher erzeugt</translation>
    </message>
    <message>
        <source>Map extent</source>
        <translation>Kartenausschnitt</translation>
    </message>
    <message>
        <source>No area yet.</source>
        <translation>Noch kein Gebiet.</translation>
    </message>
    <message>
        <source>Planning</source>
        <translation>Wird geplant</translation>
    </message>
    <message>
        <source>Preview</source>
        <translation>Vorschau</translation>
    </message>
    <message>
        <source>Preview: {}</source>
        <translation>Vorschau: {}</translation>
    </message>
    <message>
        <source>Prompt</source>
        <translation>Prompt</translation>
    </message>
    <message>
        <source>Seed</source>
        <translation>Startwert</translation>
    </message>
    <message>
        <source>Seed {}</source>
        <translation>Startwert {}</translation>
    </message>
    <message>
        <source>The 256 × 256 px around the middle of the map: the very pixels of the image.</source>
        <translation>Die 256 × 256 px um die Mitte der Karte: genau die Pixel des Bildes.</translation>
    </message>
    <message>
        <source>The map has no coordinate reference system; set the project's.</source>
        <translation>Die Karte hat kein Koordinatenbezugssystem; setzen Sie das des Projekts.</translation>
    </message>
    <message>
        <source>The same preview with four seeds; a click on one takes its seed.</source>
        <translation>Dieselbe Vorschau mit vier Startwerten; ein Klick auf eine übernimmt ihren Startwert.</translation>
    </message>
    <message>
        <source>Variant {} of {}</source>
        <translation>Variante {} von {}</translation>
    </message>
    <message>
        <source>Vary seed</source>
        <translation>Startwert ändern</translation>
    </message>
    <message>
        <source>What shall be there? For example: vineyards on a slope</source>
        <translation>Was soll dort sein? Zum Beispiel: vineyards on a slope (Weinberge am Hang)</translation>
    </message>
    <message>
        <source>When</source>
        <translation>Wann</translation>
    </message>
    <message>
        <source>Writing the request</source>
        <translation>Die Anfrage wird geschrieben</translation>
    </message>
    <message>
        <source>Written: {}</source>
        <translation>Geschrieben: {}</translation>
    </message>
    <message>
        <source>[temporary file]</source>
        <translation>[temporäre Datei]</translation>
    </message>
    <message>
        <source>as before</source>
        <translation>wie zuvor</translation>
    </message>
    <message>
        <source>drawn</source>
        <translation>gezeichnet</translation>
    </message>
    <message>
        <source>not said</source>
        <translation>nicht genannt</translation>
    </message>
    <message>
        <source>rsgeo: synthetic images</source>
        <translation>rsgeo: synthetische Bilder</translation>
    </message>
    <message>
        <source>the map's extent</source>
        <translation>der Kartenausschnitt</translation>
    </message>
    <message>
        <source>the model's own</source>
        <translation>die des Modells</translation>
    </message>
    <message>
        <source>{} was written and cannot be shown.</source>
        <translation>{} wurde geschrieben und kann nicht angezeigt werden.</translation>
    </message>
</context>
<context>
    <name>Extend</name>
    <message>
        <source>Area to continue over: polygons</source>
        <translation>Gebiet, in das fortgesetzt wird: Polygone</translation>
    </message>
    <message>
        <source>Continues an image over more ground; the old pixels stay as they are. An image that rsgeo made goes on as the same world: prompt, seed, model and grid are read from it. Any other image keeps its number type and bands, and one band more says which pixels were generated (1) or observed (0). The result is one image of both areas.</source>
        <translation>Setzt ein Bild in weiteres Gelände fort; die alten Pixel bleiben, wie sie sind. Ein von rsgeo erzeugtes Bild geht als dieselbe Welt weiter: Prompt, Startwert, Modell und Raster werden aus ihm gelesen. Jedes andere Bild behält Zahlentyp und Bänder, und ein weiteres Band sagt, welche Pixel erzeugt (1) oder beobachtet (0) wurden. Das Ergebnis ist ein Bild beider Gebiete.</translation>
    </message>
    <message>
        <source>Extend</source>
        <translation>Fortsetzen</translation>
    </message>
    <message>
        <source>Extended image</source>
        <translation>Fortgesetztes Bild</translation>
    </message>
    <message>
        <source>Generate</source>
        <translation>Erzeugen</translation>
    </message>
    <message>
        <source>Image</source>
        <translation>Bild</translation>
    </message>
</context>
<context>
    <name>Generate</name>
    <message>
        <source>Area: polygons</source>
        <translation>Gebiet: Polygone</translation>
    </message>
    <message>
        <source>CRS of the image; empty: the UTM zone of the area</source>
        <translation>KBS des Bildes; leer: die UTM-Zone des Gebiets</translation>
    </message>
    <message>
        <source>Cloud cover (percent)</source>
        <translation>Wolkenbedeckung (Prozent)</translation>
    </message>
    <message>
        <source>Date of the scene</source>
        <translation>Datum der Szene</translation>
    </message>
    <message>
        <source>Generate</source>
        <translation>Erzeugen</translation>
    </message>
    <message>
        <source>Generate from AOI</source>
        <translation>Aus einem Gebiet erzeugen</translation>
    </message>
    <message>
        <source>Ground sample distance; empty: the model's own</source>
        <translation>Bodenauflösung; leer: die des Modells</translation>
    </message>
    <message>
        <source>Guidance: how strictly to follow the prompt; empty: the model's own</source>
        <translation>Führung: wie streng dem Prompt gefolgt wird; leer: die des Modells</translation>
    </message>
    <message>
        <source>Inference steps; empty: the model's own</source>
        <translation>Rechenschritte; leer: die des Modells</translation>
    </message>
    <message>
        <source>Makes a synthetic satellite image of an area: polygons of a layer (selected features only, if you say so) or an extent. The prompt says what shall be there; an attribute may say it for each polygon. The same request gives the same pixels, and neighbouring areas of one seed fit together. Size, memory and time are shown in the log before the work begins. The image is no observation and says so: in its name, its metadata and its file.</source>
        <translation>Erzeugt ein synthetisches Satellitenbild eines Gebiets: Polygone eines Layers (auf Wunsch nur die gewählten) oder eine Ausdehnung. Der Prompt sagt, was dort sein soll; ein Attribut kann es für jedes Polygon sagen. Dieselbe Anfrage gibt dieselben Pixel, und benachbarte Gebiete mit demselben Startwert passen aneinander. Größe, Speicher und Zeit stehen im Protokoll, bevor die Arbeit beginnt. Das Bild ist keine Beobachtung und sagt das auch: in seinem Namen, seinen Metadaten und seiner Datei.</translation>
    </message>
    <message>
        <source>Model</source>
        <translation>Modell</translation>
    </message>
    <message>
        <source>Prompt: what shall be there</source>
        <translation>Prompt: was dort sein soll</translation>
    </message>
    <message>
        <source>Recorded as a wish; a model that was not taught dates says so in the log.</source>
        <translation>Wird als Wunsch vermerkt; ein Modell, das keine Daten gelernt hat, sagt das im Protokoll.</translation>
    </message>
    <message>
        <source>Seed: another number, another world</source>
        <translation>Startwert: eine andere Zahl, eine andere Welt</translation>
    </message>
    <message>
        <source>Size of a pixel on the ground.</source>
        <translation>Größe eines Pixels am Boden.</translation>
    </message>
    <message>
        <source>Synthetic image</source>
        <translation>Synthetisches Bild</translation>
    </message>
    <message>
        <source>What shall not be there</source>
        <translation>Was dort nicht sein soll</translation>
    </message>
</context>
<context>
    <name>Inpaint</name>
    <message>
        <source>Enhance</source>
        <translation>Verbessern</translation>
    </message>
    <message>
        <source>Inference steps; empty: the model's own</source>
        <translation>Rechenschritte; leer: die des Modells</translation>
    </message>
    <message>
        <source>Inpaint</source>
        <translation>Ausbessern</translation>
    </message>
    <message>
        <source>Inpainted image</source>
        <translation>Ausgebessertes Bild</translation>
    </message>
    <message>
        <source>Makes some pixels of a raster anew: those under polygons, those that a mask raster marks, or those without data. All others stay bit for bit, with their number type, and one band more says which pixels were generated (1) or observed (0). Red, green and blue are made; other bands become nodata there. What was under a cloud is not known: the result is an illustration, and marked as partly synthetic.</source>
        <translation>Macht einige Pixel eines Rasters neu: die unter Polygonen, die von einem Maskenraster bezeichneten oder die ohne Daten. Alle anderen bleiben Bit für Bit, mit ihrem Zahlentyp, und ein weiteres Band sagt, welche Pixel erzeugt (1) oder beobachtet (0) wurden. Erzeugt werden Rot, Grün und Blau; andere Bänder werden dort Nodata. Was unter einer Wolke war, ist nicht bekannt: Das Ergebnis ist eine Veranschaulichung und als teilweise synthetisch gekennzeichnet.</translation>
    </message>
    <message>
        <source>Model; empty: the best for this</source>
        <translation>Modell; leer: das beste hierfür</translation>
    </message>
    <message>
        <source>Numbers belong to a mask raster; give one.</source>
        <translation>Die Zahlen gehören zu einem Maskenraster; geben Sie eines an.</translation>
    </message>
    <message>
        <source>Or a mask raster, in any grid and CRS</source>
        <translation>Oder ein Maskenraster, in beliebigem Raster und KBS</translation>
    </message>
    <message>
        <source>Or the pixels without data</source>
        <translation>Oder die Pixel ohne Daten</translation>
    </message>
    <message>
        <source>Prompt: what shall be there</source>
        <translation>Prompt: was dort sein soll</translation>
    </message>
    <message>
        <source>Raster</source>
        <translation>Raster</translation>
    </message>
    <message>
        <source>Say what to make anew by one of the three: polygons, a mask raster, or the pixels without data.</source>
        <translation>Sagen Sie auf eine der drei Arten, was neu gemacht wird: Polygone, ein Maskenraster oder die Pixel ohne Daten.</translation>
    </message>
    <message>
        <source>Seed: another number, another world</source>
        <translation>Startwert: eine andere Zahl, eine andere Welt</translation>
    </message>
    <message>
        <source>Such as 3,8,9,10 of a Sentinel-2 scene classification: shadow and clouds.</source>
        <translation>Zum Beispiel 3,8,9,10 einer Szenenklassifikation von Sentinel-2: Schatten und Wolken.</translation>
    </message>
    <message>
        <source>The numbers of the mask are whole ones between commas, such as 3,8,9.</source>
        <translation>Die Zahlen der Maske sind ganze Zahlen zwischen Kommas, zum Beispiel 3,8,9.</translation>
    </message>
    <message>
        <source>What to make anew: polygons</source>
        <translation>Was neu gemacht wird: Polygone</translation>
    </message>
    <message>
        <source>Which numbers of the mask; empty: all but 0</source>
        <translation>Welche Zahlen der Maske; leer: alle außer 0</translation>
    </message>
</context>
<context>
    <name>Installation</name>
    <message>
        <source>Choose one in Settings ▸ Options ▸ rsgeo, or set RSGEO_PYTHON.</source>
        <translation>Wählen Sie eines unter Einstellungen ▸ Optionen ▸ rsgeo, oder setzen Sie RSGEO_PYTHON.</translation>
    </message>
    <message>
        <source>No Python with rsgeo is known.</source>
        <translation>Es ist kein Python mit rsgeo bekannt.</translation>
    </message>
</context>
<context>
    <name>Layers</name>
    <message>
        <source>Partly synthetic image, made by rsgeo with the model {}; its last band says where it is no observation.</source>
        <translation>Teilweise synthetisches Bild, von rsgeo mit dem Modell {} erzeugt; sein letztes Band sagt, wo es keine Beobachtung ist.</translation>
    </message>
    <message>
        <source>Prompt: {prompt}. Seed: {seed}.</source>
        <translation>Prompt: {prompt}. Startwert: {seed}.</translation>
    </message>
    <message>
        <source>Synthetic image, made by rsgeo with the model {}; no observation, and not evidence of the state of the ground.</source>
        <translation>Synthetisches Bild, von rsgeo mit dem Modell {} erzeugt; keine Beobachtung und kein Beleg für den Zustand des Bodens.</translation>
    </message>
    <message>
        <source>The area cannot be handed over: {}.</source>
        <translation>Das Gebiet kann nicht übergeben werden: {}.</translation>
    </message>
    <message>
        <source>The area has no features; select some, or take the whole layer.</source>
        <translation>Das Gebiet hat keine Objekte; wählen Sie welche, oder nehmen Sie den ganzen Layer.</translation>
    </message>
    <message>
        <source>The layer has no coordinate reference system; set it in the layer's properties.</source>
        <translation>Der Layer hat kein Koordinatenbezugssystem; setzen Sie es in den Eigenschaften des Layers.</translation>
    </message>
    <message>
        <source>The raster</source>
        <translation>Das Raster</translation>
    </message>
    <message>
        <source>{} (partly synthetic)</source>
        <translation>{} (teilweise synthetisch)</translation>
    </message>
    <message>
        <source>{} (synthetic)</source>
        <translation>{} (synthetisch)</translation>
    </message>
    <message>
        <source>“{}” is no raster file; export it to a GeoTIFF first (Layer ▸ Save As).</source>
        <translation>„{}“ ist keine Rasterdatei; exportieren Sie sie zuerst als GeoTIFF (Layer ▸ Speichern als).</translation>
    </message>
</context>
<context>
    <name>Making</name>
    <message>
        <source>Device (auto, cpu, cuda, mps)</source>
        <translation>Gerät (auto, cpu, cuda, mps)</translation>
    </message>
    <message>
        <source>STAC item beside the image</source>
        <translation>STAC-Item neben dem Bild</translation>
    </message>
    <message>
        <source>Seed</source>
        <translation>Startwert</translation>
    </message>
    <message>
        <source>The same pixels by the command line:</source>
        <translation>Dieselben Pixel auf der Kommandozeile:</translation>
    </message>
    <message>
        <source>Write NAME.request.json beside the image, and show the command line that makes the same pixels</source>
        <translation>NAME.request.json neben das Bild schreiben und die Kommandozeile zeigen, die dieselben Pixel erzeugt</translation>
    </message>
</context>
<context>
    <name>Plugin</name>
    <message>
        <source>rsgeo: synthetic images</source>
        <translation>rsgeo: synthetische Bilder</translation>
    </message>
</context>
<context>
    <name>PluginError</name>
    <message>
        <source>Choose the folder of wheels.</source>
        <translation>Wählen Sie den Ordner mit den Wheels.</translation>
    </message>
    <message>
        <source>No Python is found that could make an environment; install Python 3.11 or newer, or name one with “Other…”.</source>
        <translation>Es wurde kein Python gefunden, das eine Umgebung anlegen könnte; installieren Sie Python 3.11 oder neuer, oder nennen Sie eines mit „Anderes…“.</translation>
    </message>
    <message>
        <source>Python at {path} is a 32-bit one, for which there is no PyTorch; choose a 64-bit one.</source>
        <translation>Das Python unter {path} ist eines mit 32 Bit, für das es kein PyTorch gibt; wählen Sie eines mit 64 Bit.</translation>
    </message>
    <message>
        <source>Python {version} at {path} cannot make virtual environments: its parts venv and ensurepip are missing. On Debian and Ubuntu the package python{minor}-venv brings them; elsewhere choose a Python from python.org.</source>
        <translation>Python {version} unter {path} kann keine virtuellen Umgebungen anlegen: Seine Teile venv und ensurepip fehlen. Unter Debian und Ubuntu bringt sie das Paket python{minor}-venv; sonst wählen Sie ein Python von python.org.</translation>
    </message>
    <message>
        <source>Python {version} at {path} is too old for rsgeo; choose Python {needed} or newer.</source>
        <translation>Python {version} unter {path} ist zu alt für rsgeo; wählen Sie Python {needed} oder neuer.</translation>
    </message>
    <message>
        <source>The set-up stopped; the last line says why: {line}</source>
        <translation>Die Einrichtung brach ab; die letzte Zeile sagt, warum: {line}</translation>
    </message>
    <message>
        <source>The set-up takes {needed} MB, and only {free} MB are free there; make room or choose a folder on another disk.</source>
        <translation>Die Einrichtung braucht {needed} MB, und nur {free} MB sind dort frei; schaffen Sie Platz oder wählen Sie einen Ordner auf einem anderen Laufwerk.</translation>
    </message>
    <message>
        <source>There is no file {path}.</source>
        <translation>Es gibt keine Datei {path}.</translation>
    </message>
    <message>
        <source>These wheels are not for Python {version} on this system: {projects}; choose another Python or other wheels.</source>
        <translation>Diese Wheels sind nicht für Python {version} auf diesem System: {projects}; wählen Sie ein anderes Python oder andere Wheels.</translation>
    </message>
    <message>
        <source>This program does not answer as a Python does; choose another one.</source>
        <translation>Dieses Programm antwortet nicht wie ein Python; wählen Sie ein anderes.</translation>
    </message>
    <message>
        <source>{folder!r} is no whole path; choose a folder.</source>
        <translation>{folder!r} ist kein vollständiger Pfad; wählen Sie einen Ordner.</translation>
    </message>
    <message>
        <source>{folder} belongs to QGIS, and is replaced or removed with it; choose another folder.</source>
        <translation>{folder} gehört zu QGIS und wird mit ihm ersetzt oder entfernt; wählen Sie einen anderen Ordner.</translation>
    </message>
    <message>
        <source>{folder} cannot be written: {error}.</source>
        <translation>{folder} kann nicht beschrieben werden: {error}.</translation>
    </message>
    <message>
        <source>{folder} holds no wheel of rsgeo (rsgeo-*.whl); choose the folder with it and all that it needs.</source>
        <translation>{folder} enthält kein Wheel von rsgeo (rsgeo-*.whl); wählen Sie den Ordner mit ihm und allem, was es braucht.</translation>
    </message>
    <message>
        <source>{folder} holds other files; choose a new or empty folder.</source>
        <translation>{folder} enthält andere Dateien; wählen Sie einen neuen oder leeren Ordner.</translation>
    </message>
    <message>
        <source>{folder} is too long for what Windows allows in it; choose a folder nearer to the drive's root.</source>
        <translation>{folder} ist zu lang für das, was Windows darin erlaubt; wählen Sie einen Ordner weiter oben auf dem Laufwerk.</translation>
    </message>
    <message>
        <source>{location!r} is neither a whole path nor an http(s) address; nothing is installed by its name alone.</source>
        <translation>{location!r} ist weder ein vollständiger Pfad noch eine http(s)-Adresse; allein nach seinem Namen wird nichts installiert.</translation>
    </message>
    <message>
        <source>{location} is no zip file; give a zip file of the wheels of rsgeo and all that it needs.</source>
        <translation>{location} ist keine Zip-Datei; geben Sie eine Zip-Datei mit den Wheels von rsgeo und allem, was es braucht, an.</translation>
    </message>
    <message>
        <source>{path} cannot be started: {error}.</source>
        <translation>{path} kann nicht gestartet werden: {error}.</translation>
    </message>
    <message>
        <source>{path} did not answer within {seconds} s; choose another Python.</source>
        <translation>{path} hat nicht innerhalb von {seconds} s geantwortet; wählen Sie ein anderes Python.</translation>
    </message>
    <message>
        <source>{path} is no sound wheel ({error}); get it again.</source>
        <translation>{path} ist kein heiles Wheel ({error}); holen Sie es noch einmal.</translation>
    </message>
    <message>
        <source>{text!r} is no SHA-256 (64 digits from 0 to 9 and a to f); copy it from where the file comes from.</source>
        <translation>{text!r} ist keine SHA-256 (64 Ziffern von 0 bis 9 und a bis f); kopieren Sie sie von dort, woher die Datei kommt.</translation>
    </message>
</context>
<context>
    <name>Predict</name>
    <message>
        <source>Area to cut out: polygons; empty: all</source>
        <translation>Gebiet, das ausgeschnitten wird: Polygone; leer: alles</translation>
    </message>
    <message>
        <source>Date to paint</source>
        <translation>Datum, das gemalt wird</translation>
    </message>
    <message>
        <source>Dated rasters</source>
        <translation>Datierte Raster</translation>
    </message>
    <message>
        <source>Dates of the rasters between commas; empty: as they say</source>
        <translation>Daten der Raster, durch Kommas getrennt; leer: wie sie selbst sagen</translation>
    </message>
    <message>
        <source>Give the rasters of the series.</source>
        <translation>Geben Sie die Raster der Reihe an.</translation>
    </message>
    <message>
        <source>Image at that date</source>
        <translation>Bild zu diesem Datum</translation>
    </message>
    <message>
        <source>Paints the place of several dated rasters as it may look at another date, on the grid of the finest of them. It needs a model of series, which is not part of rsgeo: rsgeo models list names those that can be fetched. It is a picture and no forecast: with a raster of that date its error is shown beside those of plain guesses (copies, a line in time, the mean).</source>
        <translation>Malt den Ort mehrerer datierter Raster, wie er zu einem anderen Datum aussehen mag, auf dem Raster des feinsten von ihnen. Dazu braucht es ein Modell für Reihen, das nicht zu rsgeo gehört: rsgeo models list nennt die, die geholt werden können. Es ist ein Bild und keine Vorhersage: Mit einem Raster von diesem Datum wird sein Fehler neben denen einfacher Schätzungen gezeigt (Kopien, eine Gerade in der Zeit, der Mittelwert).</translation>
    </message>
    <message>
        <source>Predict at date</source>
        <translation>Zu einem Datum malen</translation>
    </message>
    <message>
        <source>Raster of that date, to compare with</source>
        <translation>Raster von diesem Datum, zum Vergleich</translation>
    </message>
    <message>
        <source>Time</source>
        <translation>Zeit</translation>
    </message>
    <message>
        <source>YYYY-MM-DD for each raster, in their order.</source>
        <translation>JJJJ-MM-TT für jedes Raster, in ihrer Reihenfolge.</translation>
    </message>
</context>
<context>
    <name>RsgeoProvider</name>
    <message>
        <source>rsgeo: synthetic satellite images</source>
        <translation>rsgeo: synthetische Satellitenbilder</translation>
    </message>
</context>
<context>
    <name>Running</name>
    <message>
        <source>Cancelled; nothing is written.</source>
        <translation>Abgebrochen; es wurde nichts geschrieben.</translation>
    </message>
    <message>
        <source>No temporary folder can be made: {}.</source>
        <translation>Es kann kein temporärer Ordner angelegt werden: {}.</translation>
    </message>
    <message>
        <source>rsgeo {} in {}</source>
        <translation>rsgeo {} in {}</translation>
    </message>
</context>
<context>
    <name>SceneMetadata</name>
    <message>
        <source>Area, instead of a raster</source>
        <translation>Gebiet, statt eines Rasters</translation>
    </message>
    <message>
        <source>Give a raster or a polygon layer, one of the two.</source>
        <translation>Geben Sie ein Raster oder einen Polygonlayer an, eines von beiden.</translation>
    </message>
    <message>
        <source>JSON files (*.json);;HTML files (*.html)</source>
        <translation>JSON-Dateien (*.json);;HTML-Dateien (*.html)</translation>
    </message>
    <message>
        <source>Metadata</source>
        <translation>Metadaten</translation>
    </message>
    <message>
        <source>Place, ground sample distance, date and cloud cover of a raster file or an area, each with where it comes from, as rsgeo derives them. A raster that rsgeo made says so.</source>
        <translation>Ort, Bodenauflösung, Datum und Wolkenbedeckung einer Rasterdatei oder eines Gebiets, je mit ihrer Herkunft, so wie rsgeo sie ableitet. Ein Raster, das rsgeo erzeugt hat, sagt das.</translation>
    </message>
    <message>
        <source>Raster</source>
        <translation>Raster</translation>
    </message>
    <message>
        <source>Scene metadata</source>
        <translation>Metadaten der Szene</translation>
    </message>
    <message>
        <source>Tools</source>
        <translation>Werkzeuge</translation>
    </message>
</context>
<context>
    <name>Seeing</name>
    <message>
        <source>Inference steps; empty: the model's own</source>
        <translation>Rechenschritte; leer: die des Modells</translation>
    </message>
    <message>
        <source>Model; empty: the best for this</source>
        <translation>Modell; leer: das beste hierfür</translation>
    </message>
    <message>
        <source>Names of the bands in order, such as B02,B03,B04,B08; empty: recognised</source>
        <translation>Namen der Bänder der Reihe nach, zum Beispiel B02,B03,B04,B08; leer: werden erkannt</translation>
    </message>
    <message>
        <source>Prompt: what shall be there</source>
        <translation>Prompt: was dort sein soll</translation>
    </message>
    <message>
        <source>Reflectance times 10000 (dn), that plus 1000 (Sentinel-2 since 2022), reflectance, or grey levels of a picture (rgb).</source>
        <translation>Reflexionsgrad mal 10000 (dn), das plus 1000 (Sentinel-2 seit 2022), Reflexionsgrad (reflectance) oder Grauwerte eines Bildes (rgb).</translation>
    </message>
    <message>
        <source>Seed: another number, another world</source>
        <translation>Startwert: eine andere Zahl, eine andere Welt</translation>
    </message>
    <message>
        <source>What the numbers are ({}); empty: recognised</source>
        <translation>Was die Zahlen sind ({}); leer: wird erkannt</translation>
    </message>
    <message>
        <source>Write - for a band of no use.</source>
        <translation>Schreiben Sie - für ein Band, das nicht gebraucht wird.</translation>
    </message>
</context>
<context>
    <name>Settings</name>
    <message>
        <source>Asking {python} …</source>
        <translation>{python} wird gefragt …</translation>
    </message>
    <message>
        <source>Check</source>
        <translation>Prüfen</translation>
    </message>
    <message>
        <source>Copies what stands above, for an issue: versions, devices, models, names of variables; not your home folder.</source>
        <translation>Kopiert, was oben steht, für eine Fehlermeldung: Versionen, Geräte, Modelle, Namen von Variablen; nicht Ihren Benutzerordner.</translation>
    </message>
    <message>
        <source>Copy report</source>
        <translation>Bericht kopieren</translation>
    </message>
    <message>
        <source>Found on this machine; click one to take it</source>
        <translation>Auf diesem Rechner gefunden; ein Klick wählt aus</translation>
    </message>
    <message>
        <source>No Python with rsgeo is known; choose one, or press “Set up rsgeo…”.</source>
        <translation>Es ist kein Python mit rsgeo bekannt; wählen Sie eines, oder drücken Sie „rsgeo einrichten…“.</translation>
    </message>
    <message>
        <source>Python</source>
        <translation>Python</translation>
    </message>
    <message>
        <source>Python that runs rsgeo (empty: RSGEO_PYTHON, or the one of the command rsgeo)</source>
        <translation>Python, in dem rsgeo läuft (leer: RSGEO_PYTHON, oder das des Befehls rsgeo)</translation>
    </message>
    <message>
        <source>Set up rsgeo…</source>
        <translation>rsgeo einrichten…</translation>
    </message>
    <message>
        <source>Version</source>
        <translation>Version</translation>
    </message>
    <message>
        <source>none found; choose one, or set rsgeo up</source>
        <translation>keines gefunden; wählen Sie eines, oder richten Sie rsgeo ein</translation>
    </message>
    <message>
        <source>rsgeo {version} works. Devices: {devices}. Models: {models}.</source>
        <translation>rsgeo {version} läuft. Geräte: {devices}. Modelle: {models}.</translation>
    </message>
    <message>
        <source>{python} has no rsgeo; choose another one, or press “Set up rsgeo…”.</source>
        <translation>{python} hat kein rsgeo; wählen Sie ein anderes, oder drücken Sie „rsgeo einrichten…“.</translation>
    </message>
</context>
<context>
    <name>SetupDialog</name>
    <message>
        <source>64 digits, from where the file comes from</source>
        <translation>64 Ziffern, von dort, woher die Datei kommt</translation>
    </message>
    <message>
        <source>A Python, 3.11 or newer</source>
        <translation>Ein Python, 3.11 oder neuer</translation>
    </message>
    <message>
        <source>A zip file of wheels, by its path or its http(s) address; its SHA-256 is checked first</source>
        <translation>Eine Zip-Datei mit Wheels, nach Pfad oder http(s)-Adresse; zuerst wird ihre SHA-256 geprüft</translation>
    </message>
    <message>
        <source>Copy commands</source>
        <translation>Befehle kopieren</translation>
    </message>
    <message>
        <source>Folder</source>
        <translation>Ordner</translation>
    </message>
    <message>
        <source>Getting the file and checking its SHA-256</source>
        <translation>Die Datei wird geholt und ihre SHA-256 geprüft</translation>
    </message>
    <message>
        <source>Go on</source>
        <translation>Fortsetzen</translation>
    </message>
    <message>
        <source>How large the file is, the server says before anything is fetched; too little room stops it there.</source>
        <translation>Wie groß die Datei ist, sagt der Server, bevor etwas geholt wird; bei zu wenig Platz bleibt es dabei.</translation>
    </message>
    <message>
        <source>Installing; this takes a minute or more</source>
        <translation>Installation; das dauert eine Minute oder länger</translation>
    </message>
    <message>
        <source>Made by</source>
        <translation>Angelegt von</translation>
    </message>
    <message>
        <source>Making the virtual environment</source>
        <translation>Die virtuelle Umgebung wird angelegt</translation>
    </message>
    <message>
        <source>Other…</source>
        <translation>Anderes…</translation>
    </message>
    <message>
        <source>Press “Stop” first; what is finished stays.</source>
        <translation>Drücken Sie zuerst „Anhalten“; was fertig ist, bleibt.</translation>
    </message>
    <message>
        <source>Set up</source>
        <translation>Einrichten</translation>
    </message>
    <message>
        <source>Set up rsgeo</source>
        <translation>rsgeo einrichten</translation>
    </message>
    <message>
        <source>Starting rsgeo to see whether it works</source>
        <translation>rsgeo wird gestartet, um zu sehen, ob es läuft</translation>
    </message>
    <message>
        <source>Stop</source>
        <translation>Anhalten</translation>
    </message>
    <message>
        <source>Stopped. What was finished stays; “Go on” begins with what was not.</source>
        <translation>Angehalten. Was fertig wurde, bleibt; „Fortsetzen“ beginnt mit dem, was es nicht wurde.</translation>
    </message>
    <message>
        <source>The Python that makes the environment: 3.11 or newer, never the one of QGIS.</source>
        <translation>Das Python, das die Umgebung anlegt: 3.11 oder neuer, niemals das von QGIS.</translation>
    </message>
    <message>
        <source>Unpacking the wheels</source>
        <translation>Die Wheels werden ausgepackt</translation>
    </message>
    <message>
        <source>Wheels</source>
        <translation>Wheels</translation>
    </message>
    <message>
        <source>Wheels in a folder of this machine; no network is used</source>
        <translation>Wheels in einem Ordner dieses Rechners; ohne Netz</translation>
    </message>
    <message>
        <source>Zip file</source>
        <translation>Zip-Datei</translation>
    </message>
    <message>
        <source>rsgeo is set up, and works, in {python}</source>
        <translation>rsgeo ist eingerichtet und läuft, in {python}</translation>
    </message>
    <message>
        <source>rsgeo runs in a Python of its own, outside QGIS. This makes a virtual environment in the folder below and installs rsgeo with all that it needs into it. Nothing is done before you press “Set up”, and nothing outside that folder is changed; to undo it, remove the folder.</source>
        <translation>rsgeo läuft in einem eigenen Python, außerhalb von QGIS. Hier wird im unten genannten Ordner eine virtuelle Umgebung angelegt und rsgeo mit allem, was es braucht, darin installiert. Nichts geschieht, bevor Sie „Einrichten“ drücken, und nichts außerhalb dieses Ordners wird geändert; um es rückgängig zu machen, löschen Sie den Ordner.</translation>
    </message>
    <message>
        <source>{free} MB are free.</source>
        <translation>{free} MB sind frei.</translation>
    </message>
    <message>
        <source>{packed} MB of files become {installed} MB in the folder; {free} MB are free.</source>
        <translation>Aus {packed} MB an Dateien werden {installed} MB im Ordner; {free} MB sind frei.</translation>
    </message>
</context>
<context>
    <name>SuperResolve</name>
    <message>
        <source>A whole part of the raster's pixels keeps the grids nested: 2.5 m of 10 m.</source>
        <translation>Ein ganzer Teil der Pixel des Rasters hält die Raster ineinander: 2,5 m von 10 m.</translation>
    </message>
    <message>
        <source>Area to cut out: polygons; empty: all</source>
        <translation>Gebiet, das ausgeschnitten wird: Polygone; leer: alles</translation>
    </message>
    <message>
        <source>Enhance</source>
        <translation>Verbessern</translation>
    </message>
    <message>
        <source>Finer image</source>
        <translation>Feineres Bild</translation>
    </message>
    <message>
        <source>Give a raster or a Sentinel-2 product.</source>
        <translation>Geben Sie ein Raster oder ein Sentinel-2-Produkt an.</translation>
    </message>
    <message>
        <source>Ground sample distance of the result (m)</source>
        <translation>Bodenauflösung des Ergebnisses (m)</translation>
    </message>
    <message>
        <source>Makes a raster finer: Sentinel-2 as it is delivered (a .SAFE folder's MTD_MSIL1C.xml or MTD_MSIL2A.xml, or the ZIP), other rasters with named bands, or red, green and blue pictures become a picture of smaller pixels on the same grid. The detail is invented: it is plausible, and not measured. How well the picture agrees with the raster is written beside it (NAME.report.json).</source>
        <translation>Macht ein Raster feiner: Sentinel-2, wie es geliefert wird (MTD_MSIL1C.xml oder MTD_MSIL2A.xml eines .SAFE-Ordners oder das ZIP), andere Raster mit benannten Bändern oder Bilder in Rot, Grün und Blau werden zu einem Bild mit kleineren Pixeln auf demselben Raster. Die Einzelheiten sind erfunden: Sie sind glaubhaft, aber nicht gemessen. Wie gut das Bild mit dem Raster übereinstimmt, steht daneben (NAME.report.json).</translation>
    </message>
    <message>
        <source>Or a Sentinel-2 product: its MTD_MSIL*.xml, or the ZIP</source>
        <translation>Oder ein Sentinel-2-Produkt: seine MTD_MSIL*.xml oder das ZIP</translation>
    </message>
    <message>
        <source>Raster</source>
        <translation>Raster</translation>
    </message>
    <message>
        <source>Super-resolve</source>
        <translation>Feiner machen</translation>
    </message>
</context>
</TS>
